/* memory.c - see memory.h. */
/* SPDX-License-Identifier: MIT */
#include "script/memory.h"

#include <stdlib.h>

void *memory_allocate(void *arg, void *block, size_t old_size, size_t new_size)
{
	struct memory *m = arg;
	size_t held = block ? old_size : 0; /* without a block Lua passes the object's type */
	if (new_size == 0) {
		free(block);
		m->used -= held;
		return NULL;
	}
	/* Lua relies on shrinking never to fail. */
	if (new_size > held && (m->used > m->limit || new_size - held > m->limit - m->used))
		return NULL;
	void *moved = realloc(block, new_size);
	if (moved)
		m->used += new_size - held;
	return moved;
}
