/* queue.c - see queue.h. */
/* SPDX-License-Identifier: MIT */
#include "script/queue.h"

#include "script/misuse.h"
#include "script/prepare.h"

#include <string.h>

#define QUEUE_HANDLE "moongate.pipeline"
#define FIRST_ROOM   16

enum { QUEUE_TEXTS = 1, QUEUE_ARRAYS, QUEUE_USER_VALUES = 2 };

struct queue *push_queue(lua_State *L)
{
	struct queue *q = lua_newuserdatauv(L, sizeof *q, QUEUE_USER_VALUES);
	*q = (struct queue){0};
	luaL_setmetatable(L, QUEUE_HANDLE);
	lua_newtable(L);
	lua_setiuservalue(L, -2, QUEUE_TEXTS);
	return q;
}

struct queue *check_queue(lua_State *L, int index)
{
	struct queue *q = luaL_testudata(L, index, QUEUE_HANDLE);
	if (!q)
		misuse(L,
		       "a " QUEUE_HANDLE
		       " expected, got %s; inside of pipeline(function(p) ... end) "
		       "its methods are called as p:query(...)",
		       luaL_typename(L, index));
	return q;
}

/* The queue is at 1. */
static void make_room(lua_State *L, struct queue *q)
{
	if (q->count < q->room)
		return;
	size_t room = q->room ? 2 * q->room : FIRST_ROOM;
	struct exec_query *queries =
	        lua_newuserdatauv(L, room * (sizeof *queries + sizeof *q->shapes), 0);
	unsigned char *shapes = (unsigned char *)(queries + room);
	if (q->count) {
		memcpy(queries, q->queries, q->count * sizeof *queries);
		memcpy(shapes, q->shapes, q->count * sizeof *shapes);
	}
	q->queries = queries;
	q->shapes = shapes;
	q->room = room;
	lua_setiuservalue(L, 1, QUEUE_ARRAYS);
}

/* What the query points to: all from 2 to the top. */
static void keep_texts(lua_State *L, struct queue *q)
{
	int top = lua_gettop(L);
	lua_getiuservalue(L, 1, QUEUE_TEXTS);
	for (int i = 2; i <= top; i++) {
		if (lua_isnil(L, i))
			continue;
		lua_pushvalue(L, i);
		lua_rawseti(L, -2, (lua_Integer)++q->texts);
	}
	lua_pop(L, 1);
}

/* p:query(sql, ...), one, value, exec: the number of its result. */
static int queue_query(lua_State *L)
{
	struct queue *q = check_queue(L, 1);
	if (q->over)
		misuse(L, "the pipeline is over: statements are queued by the function that it is "
		          "given, as long as that runs");
	uint64_t hash = prepared_replace(L, 2);
	struct exec_query query = take_prepared(L, 2, hash);
	keep_texts(L, q);
	make_room(L, q);
	q->queries[q->count] = query;
	q->shapes[q->count++] = (unsigned char)answer_shape(L);
	lua_pushinteger(L, (lua_Integer)q->count);
	return 1;
}

void open_queue(lua_State *L)
{
	static const luaL_Reg none[] = {{NULL, NULL}};
	handle_class(L, QUEUE_HANDLE, none, none);
	lua_getfield(L, -1, "__index");
	open_query_methods(L, queue_query);
	lua_pop(L, 2);
}
