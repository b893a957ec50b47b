/* queue.h - the statements of a pipeline, as its function queues them: p:query(sql, ...) and so on.
 *
 * User value 1: a table that keeps their texts; 2: the arrays. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_QUEUE_H
#define MOONGATE_SCRIPT_QUEUE_H

#include "script/answer.h"
#include "script/call_options.h"

struct queue {
	struct exec_query *queries; /* `count` of them, in order */
	unsigned char *shapes;      /* enum shape, of their results */
	size_t count, room, texts;
	struct call_options options;
	bool over; /* it takes no more */
};

/* Pushes an empty one. */
struct queue *push_queue(lua_State *L);

/* The one at `index`; raises where it is none. */
struct queue *check_queue(lua_State *L, int index);

/* Makes the metatable. */
void open_queue(lua_State *L);

#endif
