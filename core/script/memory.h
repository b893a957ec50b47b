/* memory.h - a Lua allocator with limits: what goes beyond them fails as if memory had run out.
 *
 * Lua answers a refusal with a full collection and a second try, then with an error that the script
 * may catch. A loop that asks for too much again and again would thus collect again and again: a
 * refusal that no collection can help uses the fence's budget up, too. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_MEMORY_H
#define MOONGATE_SCRIPT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#define MEMORY_UNLIMITED ((size_t)-1)

enum memory_refusal {
	MEMORY_NOT_REFUSED,
	MEMORY_CAP,    /* `limit`, or nearly so after a collection */
	MEMORY_CALL,   /* `left` */
	MEMORY_STRING, /* `string` */
};

/* Must outlive the Lua state that allocates from it. All sizes are in bytes, as Lua counts them. */
struct memory {
	size_t used, limit;
	size_t left;   /* that may be asked for yet before memory_end(), whatever is freed meanwhile
	                */
	size_t string; /* size of the largest string that may be made */
	enum memory_refusal refusal; /* why one failed for good since memory_begin() */
	bool tried;                  /* it was refused, and Lua collects before it tries again */
	long *budget;                /* set to 0 by such a refusal; may be NULL */
};

/* Only the cap holds: outside of fenced calls. */
void memory_init(struct memory *memory, size_t limit);

/* Between these two, which a fenced call stands between, these limits hold as well. */
void memory_begin(struct memory *memory, size_t bytes, size_t string, long *budget);
void memory_end(struct memory *memory);

/* A lua_Alloc; `arg` is a struct memory. */
void *memory_allocate(void *arg, void *block, size_t old_size, size_t new_size);

#endif
