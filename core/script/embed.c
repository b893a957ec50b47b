/* embed.c - see embed.h. */
/* SPDX-License-Identifier: MIT */
#include "script/embed.h"

#include "script/blocking.h"
#include "script/handles.h"
#include "script/module.h"

#include <lauxlib.h>
#include <lualib.h>

static int resume_tasks(lua_State *L)
{
	struct state *s = lua_touserdata(L, 1);
	blocking_poll(s);
	tasks_resume(L, &s->tasks);
	return 0;
}

static void on_nothing(struct ev_loop *loop, ev_idle *watcher, int events)
{
	(void)loop;
	(void)watcher;
	(void)events;
}

/* The loop is about to wait. Not where it runs inside of a task, nor under moongate.run(), which
 * resumes tasks itself. */
static void on_turn(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct state *s = LIST_ENTRY(watcher, struct state, turn);
	lua_State *L = s->thread;
	(void)events;
	if (s->tasks.current || s->tasks.running)
		return;
	lua_pushcfunction(L, resume_tasks);
	lua_pushlightuserdata(L, s);
	if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
		const char *why = lua_tostring(L, -1);
		log_error(&s->context->log, "task failed", LOG_L("error", why));
		lua_pop(L, 1);
	}
	if (list_empty(&s->tasks.ready))
		ev_idle_stop(loop, &s->busy);
	else /* one that has yielded: the loop must not wait */
		ev_idle_start(loop, &s->busy);
}

static void watch(struct state *s)
{
	struct ev_loop *loop = s->context->loop;
	s->embedded = true;
	s->hosted = true;
	ev_idle_init(&s->busy, on_nothing);
	ev_prepare_init(&s->turn, on_turn);
	ev_prepare_start(loop, &s->turn);
	ev_unref(loop); /* by itself it is no reason to go on */
}

static int embed_protected(lua_State *L)
{
	struct context *context = lua_touserdata(L, 1);
	const char *lua_path = lua_touserdata(L, 2);
	if (state_of(L))
		return luaL_error(L, "there is one");
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	lua_pushcfunction(L, luaopen_moongate_core);
	lua_setfield(L, -2, "moongate.core");
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	if (lua_getfield(L, -1, LUA_LOADLIBNAME) == LUA_TTABLE) {
		lua_getfield(L, -1, "path");
		lua_pushfstring(L, "%s;%s", luaL_optstring(L, -1, ""), lua_path);
		lua_setfield(L, -3, "path");
	}
	watch(state_new(L, context));
	return 0;
}

/* core.hosted(): whether a program's loop resumes tasks. */
static int hosted(lua_State *L)
{
	lua_pushboolean(L, state_of(L)->hosted);
	return 1;
}

/* core.log_failure(error): of a task that nobody waits for. */
static int log_failure(lua_State *L)
{
	const struct log *log = &state_of(L)->context->log;
	log_error(log, "task failed", LOG_L("error", luaL_tolstring(L, 1, NULL)));
	return 0;
}

void open_embed(lua_State *L)
{
	static const luaL_Reg functions[] = {
	        {"hosted", hosted}, {"log_failure", log_failure}, {NULL, NULL}};
	luaL_setfuncs(L, functions, 0);
}

bool embed(lua_State *L, struct context *context, const char *lua_path)
{
	if (!lua_checkstack(L, 4))
		return false;
	lua_pushcfunction(L, embed_protected);
	lua_pushlightuserdata(L, context);
	lua_pushlightuserdata(L, (void *)lua_path);
	if (lua_pcall(L, 2, 0, 0) == LUA_OK)
		return true;
	lua_pop(L, 1);
	return false;
}
