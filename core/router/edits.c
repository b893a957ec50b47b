/* edits.c - see edits.h.
 *
 *     0 .. first           met
 * first .. first + count   still to be met */
/* SPDX-License-Identifier: MIT */
#include "router/edits.h"

#include <stdlib.h>
#include <string.h>

#define SMALLEST_ROOM 8

static void drop(struct edit *edit)
{
	statement_unref(edit->statement);
	statement_unref(edit->before);
	free(edit->name);
}

static bool make_room(struct edits *e)
{
	if (e->first + e->count < e->room)
		return true;
	if (e->first > e->count) {
		memmove(e->items, e->items + e->first, e->count * sizeof *e->items);
		e->first = 0;
		return true;
	}
	size_t room = e->room ? 2 * e->room : SMALLEST_ROOM;
	struct edit *items = realloc(e->items, room * sizeof *items);
	if (!items)
		return false;
	e->items = items;
	e->room = room;
	return true;
}

enum status edits_push(struct edits *e, const struct edit *edit)
{
	struct edit made = *edit;
	if (!make_room(e)) {
		drop(&made);
		return ST_ENOMEM;
	}
	e->items[e->first + e->count++] = made;
	return ST_OK;
}

void edits_pop_front(struct edits *e)
{
	drop(&e->items[e->first++]);
	if (--e->count == 0)
		e->first = 0;
}

void edits_pop_back(struct edits *e)
{
	drop(&e->items[e->first + --e->count]);
	if (e->count == 0)
		e->first = 0;
}

void edits_clear(struct edits *e)
{
	while (e->count)
		edits_pop_back(e);
}

void edits_free(struct edits *e)
{
	edits_clear(e);
	free(e->items);
	*e = (struct edits){0};
}
