/* bind_stream.c - what rows() and copy_out() return: called, it gives the next row or piece of
 * data, and nil at the end; closed, it ends the statement. */
/* SPDX-License-Identifier: MIT */
#include "script/flow_handle.h"
#include "script/misuse.h"
#include "script/on_notice.h"

#define PLAN                                                                                       \
	3 /* on the stack: what the plan refers to begins here, above the table that keeps it */

static struct flow_handle *check(lua_State *L)
{
	struct flow_handle *s = luaL_testudata(L, 1, STREAM_HANDLE);
	if (!s)
		misuse(L, "a " STREAM_HANDLE " expected, got %s; it is closed as rows:close()",
		       luaL_typename(L, 1));
	return s;
}

/* Finds the plan for the rows that were taken. What it refers to is kept in a table, to stand at
 * the same place on the stack for each row. */
static void make_plan(lua_State *L, struct flow_handle *s)
{
	lua_newtable(L);
	const struct row_style style = push_style(L, s->owner, &s->subject.options);
	s->plan = plan_rows(L, s->rows, &style, PQnfields(s->rows));
	int size = lua_gettop(L) - PLAN + 1;
	for (int i = 0; i < size; i++) {
		lua_pushvalue(L, PLAN + i);
		lua_rawseti(L, PLAN - 1, i + 1);
	}
	lua_pushvalue(L, PLAN - 1);
	lua_setiuservalue(L, 1, 2);
	s->plan_size = size;
}

static void lay_plan(lua_State *L, const struct flow_handle *s)
{
	luaL_checkstack(L, s->plan_size + s->plan.columns + 8, "too many columns");
	lua_getiuservalue(L, 1, 2);
	for (int i = 1; i <= s->plan_size; i++)
		lua_rawgeti(L, PLAN - 1, i);
}

static bool take_rows(struct flow_handle *s)
{
	if (s->row < s->row_count)
		return true;
	PQclear(s->rows);
	s->row = 0;
	s->rows = s->flow.server ? flow_rows(&s->flow) : NULL;
	s->row_count = s->rows ? PQntuples(s->rows) : 0;
	return s->row_count > 0;
}

/* Pushes the next that is there. */
static bool push_next_row(lua_State *L, struct flow_handle *s)
{
	if (!take_rows(s))
		return false;
	if (s->plan_size)
		lay_plan(L, s);
	else
		make_plan(L, s);
	int row = s->row++;
	if (s->plan.calls) /* which may close the stream, or take its next row */
		push_row_apart(L, &s->plan, s->rows, row);
	else
		push_row(L, &s->plan, s->rows, row);
	return true;
}

static bool push_next_data(lua_State *L, struct flow_handle *s)
{
	int size;
	const char *data = s->flow.server ? flow_data(&s->flow, &size) : NULL;
	if (data)
		lua_pushlstring(L, data, (size_t)size);
	return data;
}

static int ended(lua_State *L, struct flow_handle *s)
{
	flow_handle_over(s);
	on_notice_tell(s->owner->state);
	if (*s->op.sqlstate) {
		flow_handle_push_failure(L, s);
		return raise_failure(L);
	}
	lua_pushnil(L);
	return 1;
}

static int deliver(lua_State *L, struct flow_handle *s);

static int waited(lua_State *L, struct blocking *b)
{
	return deliver(L, flow_handle_waited(L, b, 1));
}

static int deliver(lua_State *L, struct flow_handle *s)
{
	if (s->flow.kind == FLOW_ROWS ? push_next_row(L, s) : push_next_data(L, s))
		return 1;
	return flow_handle_is_under_way(s) ? flow_handle_await(L, s, waited, "rows") : ended(L, s);
}

/* rows(): the next row, a table; or nil. Raises a moongate.Error. */
static int stream_next(lua_State *L)
{
	struct flow_handle *s = check(L);
	if (s->closed)
		misuse(L, "the rows were closed");
	lua_settop(L, 1);
	return deliver(L, s);
}

static int drained(lua_State *L, struct blocking *b)
{
	struct flow_handle *s = flow_handle_waited(L, b, 1);
	if (flow_handle_is_under_way(s))
		return flow_handle_await(L, s, drained, "rows:close");
	flow_handle_end(s);
	return 0;
}

/* rows:close(); also at the end of a loop, with what was raised in it. The statement is cancelled
 * unless its end has arrived; on a connection, which is to go on, the rest is passed over. */
static int stream_close(lua_State *L)
{
	struct flow_handle *s = check(L);
	bool raised = !lua_isnoneornil(L, 2);
	lua_settop(L, 1);
	if (flow_handle_is_open(s)) {
		bool waits = s->op.loan && !raised && flow_handle_may_wait(L);
		if (waits) /* raises in a hook, while all is as it was */
			state_check(L, s->owner->state, "rows:close");
		if (s->flow.server)
			flow_drop(&s->flow);
		if (flow_handle_is_under_way(s) && waits)
			return flow_handle_await(L, s, drained, "rows:close");
	}
	flow_handle_end(s);
	on_notice_tell(s->owner->state);
	return 0;
}

/* rows.columns, rows.types: of rows that are lists. Upvalue 1: the methods. */
static int stream_index(lua_State *L)
{
	check(L);
	lua_settop(L, 2);
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
		return 1;
	if (lua_getiuservalue(L, 1, STREAM_COLUMNS) != LUA_TTABLE)
		return 0;
	lua_pushvalue(L, 2);
	lua_rawget(L, -2);
	return 1;
}

static int stream_gc(lua_State *L)
{
	struct flow_handle *s = luaL_checkudata(L, 1, STREAM_HANDLE);
	flow_handle_end(s);
	return 0;
}

static int stream_tostring(lua_State *L)
{
	const struct flow_handle *s = luaL_checkudata(L, 1, STREAM_HANDLE);
	if (s->flow.server)
		lua_pushfstring(L, "%s: %s", STREAM_HANDLE, s->flow.server->endpoint->name);
	else
		lua_pushliteral(L, STREAM_HANDLE " (over)");
	return 1;
}

void open_stream(lua_State *L)
{
	static const luaL_Reg metamethods[] = {{"__call", stream_next},
	                                       {"__close", stream_close},
	                                       {"__gc", stream_gc},
	                                       {"__tostring", stream_tostring},
	                                       {NULL, NULL}};
	static const luaL_Reg methods[] = {{"close", stream_close}, {NULL, NULL}};
	handle_class(L, STREAM_HANDLE, metamethods, NULL);
	luaL_newlib(L, methods);
	lua_pushcclosure(L, stream_index, 1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}
