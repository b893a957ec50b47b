/* memory.h - a Lua allocator with a cap: what goes beyond it fails as if memory had run out. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_MEMORY_H
#define MOONGATE_SCRIPT_MEMORY_H

#include <stddef.h>

/* Must outlive the Lua state that allocates from it. */
struct memory {
	size_t used, limit; /* bytes, as Lua counts them */
};

/* A lua_Alloc; `arg` is a struct memory. Lua answers a refusal with a full collection, then with
 * an error that the script may catch and that costs the router nothing. */
void *memory_allocate(void *arg, void *block, size_t old_size, size_t new_size);

#endif
