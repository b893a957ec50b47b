/* tasks.c - see tasks.h. */
/* SPDX-License-Identifier: MIT */
#include "script/tasks.h"

#include <lauxlib.h>

void tasks_init(struct tasks *tasks)
{
	*tasks = (struct tasks){0};
	list_init(&tasks->ready);
}

struct task *tasks_here(lua_State *L, const struct tasks *tasks)
{
	struct task *t = tasks->current;
	return t && t->thread == L && lua_isyieldable(L) ? t : NULL;
}

struct task *task_new(lua_State *L, struct tasks *tasks, int count)
{
	struct task *t = lua_newuserdatauv(L, sizeof *t, 1);
	*t = (struct task){.tasks = tasks, .thread = lua_newthread(L), .self = LUA_NOREF};
	list_init(&t->link);
	lua_setiuservalue(L, -2, 1);
	lua_insert(L, -(count + 2));
	if (!lua_checkstack(t->thread, count + 1))
		luaL_error(L, "too many arguments");
	lua_xmove(L, t->thread, count + 1);
	lua_pushvalue(L, -1);
	t->self = luaL_ref(L, LUA_REGISTRYINDEX);
	tasks->live++;
	task_ready(t);
	return t;
}

void task_ready(struct task *t)
{
	t->waiting = NULL;
	t->turn = t->tasks->turn;
	list_remove(&t->link);
	list_push_back(&t->tasks->ready, &t->link);
}

static void end(lua_State *L, struct task *t)
{
	if (t->self == LUA_NOREF)
		return;
	list_remove(&t->link);
	t->waiting = NULL;
	luaL_unref(L, LUA_REGISTRYINDEX, t->self);
	t->self = LUA_NOREF;
	t->tasks->live--;
}

bool task_cancel(lua_State *L, struct task *t)
{
	if (t->self == LUA_NOREF)
		return true;
	bool well = lua_resetthread(t->thread) == LUA_OK;
	if (!well)
		lua_xmove(t->thread, L, 1);
	end(L, t);
	return well;
}

/* Raises what it raised, after closing what it has to close. */
static void fail(lua_State *L, struct task *t)
{
	lua_xmove(t->thread, L, 1);
	if (!task_cancel(L, t))
		lua_pop(L, 1); /* the error that it began with */
	lua_error(L);
}

static void resume(lua_State *L, struct task *t)
{
	int results, count = lua_gettop(t->thread);
	bool begins = lua_status(t->thread) == LUA_OK;
	t->tasks->current = t;
	int status = lua_resume(t->thread, L, begins && count > 0 ? count - 1 : 0, &results);
	t->tasks->current = NULL;
	if (status == LUA_YIELD) {
		lua_pop(t->thread, results);
		if (!t->waiting) /* a coroutine.yield(): the others go first */
			task_ready(t);
	} else if (status == LUA_OK) {
		end(L, t);
	} else {
		fail(L, t);
	}
}

void tasks_resume(lua_State *L, struct tasks *tasks)
{
	tasks->turn++;
	luaL_checkstack(L, 4, NULL);
	while (!list_empty(&tasks->ready)) {
		struct task *t = LIST_ENTRY(tasks->ready.next, struct task, link);
		if (t->turn == tasks->turn)
			return;
		list_remove(&t->link);
		resume(L, t);
	}
}
