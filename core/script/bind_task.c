/* bind_task.c - what lua/moongate/task.lua makes its tasks of: starting, parking, waking,
 * cancelling and running coroutines. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "cluster/alarms.h"
#include "script/blocking.h"
#include "script/foreign.h"
#include "script/misuse.h"

#include <math.h>

#define TASK_HANDLE  "moongate.coroutine"
#define LONGEST_WAIT 1e9 /* s */

/* core.start(what, fn, ...): a coroutine that is to run fn(...) when its turn comes. */
static int start(lua_State *L)
{
	struct state *s = state_of(L);
	state_check(L, s, luaL_checkstring(L, 1));
	foreign_refuse(L, lua_tostring(L, 1));
	luaL_checktype(L, 2, LUA_TFUNCTION);
	task_new(L, &s->tasks, lua_gettop(L) - 2);
	luaL_setmetatable(L, TASK_HANDLE);
	return 1;
}

/* core.current(what): the task that calls, nil outside of all. Raises where one can't yield:
 * `what` has to. */
static int current(lua_State *L)
{
	const struct state *s = state_of(L);
	const char *what = luaL_checkstring(L, 1);
	const struct task *t = tasks_here(L, &s->tasks);
	state_check(L, s, what);
	if (!t && s->tasks.current)
		misuse(L,
		       "%s: a task waits for others in its own coroutine only, not in one that it "
		       "has made, nor in a callback from C",
		       what);
	if (!t)
		foreign_refuse(L, what);
	if (t)
		lua_rawgeti(L, LUA_REGISTRYINDEX, t->self);
	else
		lua_pushnil(L);
	return 1;
}

/* A wait for a moment, or for core.wake(), or for either. */
struct nap {
	struct blocking blocking;
	ev_timer timer;
	bool wakeable, woken;
	bool parked; /* it counts as such */
};

static void nap_end(struct blocking *b)
{
	struct nap *n = (struct nap *)b;
	ev_timer_stop(n->blocking.context->loop, &n->timer);
	if (n->parked)
		n->blocking.state->tasks.parked--;
	n->parked = false;
}

static void on_time(struct ev_loop *loop, ev_timer *watcher, int events)
{
	(void)loop;
	(void)events;
	blocking_finish(&LIST_ENTRY(watcher, struct nap, timer)->blocking);
}

static struct nap *nap_begin(lua_State *L, const char *what)
{
	struct state *s = state_of(L);
	struct nap *n = blocking_begin_sized(L, s, sizeof *n, what);
	n->blocking.end = nap_end;
	ev_timer_init(&n->timer, on_time, 0, 0);
	return n;
}

static void set_alarm(struct nap *n, double seconds)
{
	ev_timer_set(&n->timer, seconds, 0);
	alarm_start(n->blocking.context, &n->timer);
}

static int awake(lua_State *L, struct blocking *b)
{
	(void)b;
	(void)L;
	return 0;
}

/* moongate.sleep(seconds) */
static int sleep_for(lua_State *L)
{
	double seconds = luaL_checknumber(L, 1);
	luaL_argcheck(L, seconds >= 0 && seconds <= LONGEST_WAIT, 1,
	              "a number of seconds expected, 0 or more");
	struct nap *n = nap_begin(L, "moongate.sleep");
	set_alarm(n, seconds);
	return blocking_await(L, &n->blocking, awake);
}

static int unparked(lua_State *L, struct blocking *b)
{
	lua_pushboolean(L, ((const struct nap *)b)->woken);
	return 1;
}

/* core.park(until): the task that calls stops until it is woken, true, or until that time of
 * core.now(), false; nil: no time. It may be woken for what it no longer waits for. */
static int park(lua_State *L)
{
	double left = luaL_optnumber(L, 1, INFINITY) - clock_now();
	struct nap *n = nap_begin(L, "moongate.spawn");
	if (!n->blocking.task)
		return luaL_error(L, "core.park: not in a task");
	n->wakeable = true;
	n->parked = left > LONGEST_WAIT;
	if (n->parked)
		n->blocking.state->tasks.parked++;
	else
		set_alarm(n, left > 0 ? left : 0);
	return blocking_await(L, &n->blocking, unparked);
}

/* core.wake(task): where it is parked, it goes on. */
static int wake(lua_State *L)
{
	const struct task *t = luaL_checkudata(L, 1, TASK_HANDLE);
	struct blocking *b = t->waiting;
	if (!b || b->end != nap_end || !((struct nap *)b)->wakeable)
		return 0;
	((struct nap *)b)->woken = true;
	nap_end(b);
	blocking_finish(b);
	return 0;
}

/* core.check_cancel(task): raises where that cannot be done. */
static int check_cancel(lua_State *L)
{
	const struct task *t = luaL_checkudata(L, 1, TASK_HANDLE);
	const struct state *s = state_of(L);
	state_check(L, s, "task:cancel");
	if (s->tasks.current == t)
		misuse(L, "task:cancel: a task ends itself by returning");
	return 0;
}

/* core.cancel(task): closes its coroutine, and whatever it was about. True; or false and what its
 * closing raised. */
static int cancel(lua_State *L)
{
	struct task *t = luaL_checkudata(L, 1, TASK_HANDLE);
	check_cancel(L);
	bool well = task_cancel(L, t);
	lua_pushboolean(L, well);
	lua_insert(L, well ? -1 : -2);
	return well ? 1 : 2;
}

static void run_end(struct blocking *b)
{
	b->state->tasks.running = false;
}

/* core.run(): resumes tasks and runs the loop until all of them are over. */
static int run(lua_State *L)
{
	struct state *s = state_of(L);
	struct tasks *tasks = &s->tasks;
	struct blocking *b = blocking_begin(L, s, "moongate.run");
	b->end = run_end;
	tasks->running = true;
	for (tasks_resume(L, tasks); tasks->live > 0; tasks_resume(L, tasks)) {
		bool ready = !list_empty(&tasks->ready);
		state_check_own(L, b->context);
		if (!ready && tasks->parked == tasks->live)
			misuse(L, "moongate.run: all tasks wait for one another");
		blocking_turn(L, s, ready ? EVRUN_NOWAIT : EVRUN_ONCE);
	}
	return 0;
}

/* core.traceback(error): for xpcall. Errors that are no messages stay what they are. */
static int traceback(lua_State *L)
{
	if (lua_type(L, 1) == LUA_TSTRING)
		luaL_traceback(L, L, lua_tostring(L, 1), 1);
	else
		lua_settop(L, 1);
	return 1;
}

void open_task(lua_State *L)
{
	static const luaL_Reg metamethods[] = {{NULL, NULL}};
	static const luaL_Reg functions[] = {{"start", start},
	                                     {"current", current},
	                                     {"sleep", sleep_for},
	                                     {"park", park},
	                                     {"wake", wake},
	                                     {"cancel", cancel},
	                                     {"check_cancel", check_cancel},
	                                     {"run_tasks", run},
	                                     {"traceback", traceback},
	                                     {NULL, NULL}};
	handle_class(L, TASK_HANDLE, metamethods, NULL);
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
