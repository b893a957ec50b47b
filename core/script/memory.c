/* memory.c - see memory.h. */
/* SPDX-License-Identifier: MIT */
#include "script/memory.h"

#include <lua.h>
#include <stdlib.h>

/* What a collection at the cap must set free, as a part of the cap: else a script that lives right
 * below it would make Lua collect at every step, and get nowhere. */
#define ROOM(limit) ((limit) / 32)

void memory_init(struct memory *m, size_t limit)
{
	*m = (struct memory){.limit = limit};
	memory_end(m);
}

void memory_begin(struct memory *m, size_t bytes, size_t string, long *budget)
{
	m->left = bytes;
	m->string = string;
	m->budget = budget;
	m->refusal = MEMORY_NOT_REFUSED;
}

void memory_end(struct memory *m)
{
	m->left = MEMORY_UNLIMITED;
	m->string = MEMORY_UNLIMITED;
	m->budget = NULL;
}

/* Without a block Lua passes the object's type for its old size. */
static bool is_new_string(const void *block, size_t old_size)
{
	return !block && old_size == LUA_TSTRING;
}

static bool over_cap(const struct memory *m, size_t growth)
{
	size_t limit = m->tried ? m->limit - ROOM(m->limit) : m->limit;
	return m->used > limit || growth > limit - m->used;
}

static enum memory_refusal judge(const struct memory *m, size_t growth, bool string)
{
	if (growth > m->left)
		return MEMORY_CALL;
	if (string && growth > m->string)
		return MEMORY_STRING;
	return over_cap(m, growth) ? MEMORY_CAP : MEMORY_NOT_REFUSED;
}

/* At the cap the first refusal is not the last word: garbage may be in the way. */
static void refuse(struct memory *m, enum memory_refusal refusal)
{
	bool final = refusal != MEMORY_CAP || m->tried;
	m->tried = refusal == MEMORY_CAP && !final;
	if (!final)
		return;
	m->refusal = refusal;
	if (m->budget)
		*m->budget = 0;
}

void *memory_allocate(void *arg, void *block, size_t old_size, size_t new_size)
{
	struct memory *m = arg;
	size_t held = block ? old_size : 0;
	if (new_size == 0) {
		free(block);
		m->used -= held;
		return NULL;
	}
	size_t growth = new_size > held ? new_size - held : 0; /* shrinking must not fail */
	enum memory_refusal refusal =
	        growth ? judge(m, growth, is_new_string(block, old_size)) : MEMORY_NOT_REFUSED;
	if (refusal) {
		refuse(m, refusal);
		return NULL;
	}
	void *moved = realloc(block, new_size);
	if (!moved)
		return NULL;
	m->used += new_size - held;
	if (growth) {
		m->tried = false;
		if (m->left != MEMORY_UNLIMITED)
			m->left -= growth;
	}
	return moved;
}
