/* blocking.c - see blocking.h. */
/* SPDX-License-Identifier: MIT */
#include "script/blocking.h"

#include "cluster/pool.h"

static int blocking_end(lua_State *L)
{
	struct blocking *b = luaL_checkudata(L, 1, BLOCKING_HANDLE);
	if (!b->state)
		return 0;
	operation_end(&b->op);
	state_leave(b->state);
	b->state = NULL;
	return 0;
}

struct blocking *blocking_begin(lua_State *L, struct state *state, const char *what)
{
	struct blocking *b = lua_newuserdatauv(L, sizeof *b, 0);
	*b = (struct blocking){0};
	luaL_setmetatable(L, BLOCKING_HANDLE);
	state_enter(L, state, what);
	b->state = state;
	lua_toclose(L, -1);
	return b;
}

/* Between two calls no timer runs; servers that have rested too long are closed all the same. */
struct blocking *blocking_begin_on(lua_State *L, const struct cluster_handle *h, const char *what)
{
	struct blocking *b = blocking_begin(L, h->state, what);
	for (size_t i = 0; i < h->cluster->endpoint_count; i++)
		pools_catch_up(h->cluster->endpoints[i]);
	return b;
}

void blocking_done(struct operation *op)
{
	LIST_ENTRY(op, struct blocking, op)->done = true;
}

static int nothing(lua_State *L)
{
	(void)L;
	return 0;
}

/* Lua's own handler of Ctrl-C sets a hook that raises at the next call: let there be one. */
static void let_hooks_run(lua_State *L)
{
	if (!(lua_gethookmask(L) & LUA_MASKCALL))
		return;
	lua_pushcfunction(L, nothing);
	lua_call(L, 0, 0);
}

void blocking_turn(lua_State *L, const struct blocking *b)
{
	ev_run(b->state->context->loop, EVRUN_ONCE);
	let_hooks_run(L);
}

void blocking_wait(lua_State *L, struct blocking *b)
{
	while (!b->done)
		blocking_turn(L, b);
}

void open_blocking(lua_State *L)
{
	static const luaL_Reg metamethods[] = {
	        {"__gc", blocking_end}, {"__close", blocking_end}, {NULL, NULL}};
	handle_class(L, BLOCKING_HANDLE, metamethods, NULL);
	lua_pop(L, 1);
}
