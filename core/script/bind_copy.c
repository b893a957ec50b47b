/* bind_copy.c - what lua/moongate/copy.lua makes copy_in() of: a COPY FROM STDIN that has begun, as
 * a handle that the application never sees. */
/* SPDX-License-Identifier: MIT */
#include "script/copy_text.h"
#include "script/flow_handle.h"
#include "script/misuse.h"

#define WHAT "copy_in"

/* It takes more: it is not over, and PostgreSQL has not given it up. */
static bool is_open(const struct flow_handle *s)
{
	return s->flow.server && !s->flow.refused;
}

/* Puts as much of the string as goes in one batch. False: that was the rest. */
static bool put_part(lua_State *L, struct flow_handle *s)
{
	size_t size;
	const char *text = lua_tolstring(L, 2, &size);
	size_t part = size - s->data_put;
	if (part > FLOW_BATCH)
		part = FLOW_BATCH;
	if (part > 0 && flow_put(&s->flow, text + s->data_put, part) != ST_OK)
		luaL_error(L, "moongate: out of memory");
	s->data_put += part;
	return s->data_put < size;
}

static int write_on(lua_State *L, struct flow_handle *s);

static int written(lua_State *L, struct blocking *b)
{
	return write_on(L, flow_handle_waited(L, b, 2));
}

static int write_on(lua_State *L, struct flow_handle *s)
{
	bool more = true;
	while (more && is_open(s)) {
		more = put_part(L, s);
		if (flow_full(&s->flow) && !flow_push(&s->flow))
			return flow_handle_await(L, s, written, WHAT);
	}
	lua_pushboolean(L, is_open(s));
	return 1;
}

/* copy:write(chunk): a string as it is, or a row. False: it is of no use to go on. */
static int copy_write(lua_State *L)
{
	struct flow_handle *s = luaL_checkudata(L, 1, COPY_HANDLE);
	lua_settop(L, 2);
	if (s->owner->cluster)
		check_own(L, s->owner); /* the source may have forked */
	s->data_put = 0;
	if (lua_istable(L, 2) && is_open(s)) {
		copy_text_row(L, 2, &s->flow);
		lua_pushliteral(L, "");
		lua_replace(L, 2);
	} else if (lua_type(L, 2) != LUA_TSTRING && lua_type(L, 2) != LUA_TTABLE) {
		misuse(L,
		       "copy_in: the source gives strings, tables (rows), and nil at the end; got "
		       "%s",
		       luaL_typename(L, 2));
	}
	return write_on(L, s);
}

static int finished(lua_State *L, struct blocking *b)
{
	struct flow_handle *s = flow_handle_waited(L, b, 1);
	flow_handle_over(s);
	if (*s->op.sqlstate)
		return flow_handle_push_failure(L, s);
	push_affected(L, s->op.result);
	return 1;
}

static int put_end(lua_State *L, struct flow_handle *s)
{
	if (s->flow.server) {
		s->op.may_commit = s->writes && is_open(s);
		flow_put_end(&s->flow, NULL);
	}
	return flow_handle_await(L, s, finished, WHAT);
}

static int pushed(lua_State *L, struct blocking *b)
{
	return put_end(L, flow_handle_waited(L, b, 1));
}

/* copy:finish(): all has been written. How many rows were copied; or nil, message, code, fields. */
static int copy_finish(lua_State *L)
{
	struct flow_handle *s = luaL_checkudata(L, 1, COPY_HANDLE);
	lua_settop(L, 1);
	if (s->flow.server && !flow_push(&s->flow))
		return flow_handle_await(L, s, pushed, WHAT);
	return put_end(L, s);
}

static int undone(lua_State *L, struct blocking *b)
{
	struct flow_handle *s = flow_handle_waited(L, b, 1);
	flow_handle_end(s);
	return 0;
}

/* Nothing stands in the way of telling PostgreSQL that nothing comes any more. */
static bool may_be_undone(const struct flow_handle *s)
{
	return flow_handle_is_open(s) && s->flow.server && s->flow.copying && !s->flow.sending;
}

/* The source has raised something, or all is over. */
static int copy_close(lua_State *L)
{
	struct flow_handle *s = luaL_checkudata(L, 1, COPY_HANDLE);
	lua_settop(L, 1);
	if (may_be_undone(s) && flow_handle_may_wait(L)) {
		flow_put_end(&s->flow, "the source of the data has failed");
		return flow_handle_await(L, s, undone, WHAT);
	}
	flow_handle_end(s);
	return 0;
}

static int copy_gc(lua_State *L)
{
	flow_handle_end(luaL_checkudata(L, 1, COPY_HANDLE));
	return 0;
}

void open_copy(lua_State *L)
{
	static const luaL_Reg metamethods[] = {
	        {"__close", copy_close}, {"__gc", copy_gc}, {NULL, NULL}};
	static const luaL_Reg methods[] = {
	        {"write", copy_write}, {"finish", copy_finish}, {NULL, NULL}};
	handle_class(L, COPY_HANDLE, metamethods, methods);
	lua_pop(L, 1);
}
