/* bind_timer.c - moongate.every(seconds, fn): work that a policy does beside being asked. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "cluster/alarms.h"
#include "script/handles.h"
#include "script/hooks.h"
#include "script/misuse.h"

#define TIMER_HANDLE   "moongate.timer"
#define LEAST_INTERVAL 0.01 /* s */

/* User value 1: the function. Its state keeps it in the registry until it is stopped. */
struct timer {
	struct timer *next; /* of its state's */
	struct state *state;
	struct context *context;
	struct hook_health health;
	ev_timer watcher;
	int self; /* reference in the registry; LUA_NOREF: stopped */
};

static void stop(lua_State *L, struct timer *t)
{
	struct timer **at = &t->state->timers;
	if (t->self == LUA_NOREF)
		return;
	ev_timer_stop(t->context->loop, &t->watcher);
	while (*at && *at != t)
		at = &(*at)->next;
	if (*at)
		*at = t->next;
	luaL_unref(L, LUA_REGISTRYINDEX, t->self);
	t->self = LUA_NOREF;
}

static int call_function(lua_State *L)
{
	const struct timer *t = lua_touserdata(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, t->self);
	lua_getiuservalue(L, -1, 1);
	lua_call(L, 0, 0);
	return 0;
}

static void on_time(struct ev_loop *loop, ev_timer *watcher, int events)
{
	(void)loop;
	(void)events;
	struct timer *t = LIST_ENTRY(watcher, struct timer, watcher);
	alarm_again(t->context, watcher);
	lua_State *L = t->state->thread;
	if (!hook_call(t->state, &t->health, "moongate.every", call_function, t))
		stop(L, t);
}

static int every(lua_State *L)
{
	double seconds = luaL_checknumber(L, 1);
	luaL_argcheck(L, seconds >= LEAST_INTERVAL && seconds <= 1e9, 1,
	              "a number of seconds of at least 0.01 expected");
	luaL_checktype(L, 2, LUA_TFUNCTION);
	struct state *state = state_of(L);
	if (state->fence.depth > 0 && !state->loading)
		misuse(L, "moongate.every: timers are made when the script is loaded, not for each "
		          "query");
	state_settle(L, state);
	struct timer *t = lua_newuserdatauv(L, sizeof *t, 1);
	*t = (struct timer){.state = state, .context = state->context, .self = LUA_NOREF};
	ev_timer_init(&t->watcher, on_time, seconds, seconds);
	luaL_setmetatable(L, TIMER_HANDLE);
	lua_pushvalue(L, 2);
	lua_setiuservalue(L, -2, 1);
	lua_pushvalue(L, -1);
	t->self = luaL_ref(L, LUA_REGISTRYINDEX);
	t->next = state->timers;
	state->timers = t;
	if (state->embedded)
		alarm_start(t->context, &t->watcher);
	return 1;
}

void timers_start(struct state *state)
{
	for (struct timer *t = state->timers; t; t = t->next)
		alarm_start(t->context, &t->watcher);
}

static int timer_stop(lua_State *L)
{
	stop(L, luaL_checkudata(L, 1, TIMER_HANDLE));
	return 0;
}

void open_timer(lua_State *L)
{
	static const luaL_Reg metamethods[] = {
	        {"__gc", timer_stop}, {"__close", timer_stop}, {NULL, NULL}};
	static const luaL_Reg methods[] = {{"stop", timer_stop}, {NULL, NULL}};
	static const luaL_Reg functions[] = {{"every", every}, {NULL, NULL}};
	handle_class(L, TIMER_HANDLE, metamethods, methods);
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
