/* foreign.c - see foreign.h. */
/* SPDX-License-Identifier: MIT */
#include "script/foreign.h"

#include "script/misuse.h"

#include <math.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#define TURNS 8 /* of the loop at a time */

enum { HERE = 1, WAIT, WAKE, ENDED, FUNCTIONS = ENDED };

static const char functions_key; /* its address is the key; the byte is never read */

static void push_function(lua_State *L, int which)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &functions_key);
	if (lua_istable(L, -1))
		lua_rawgeti(L, -1, which);
	else
		lua_pushnil(L);
	lua_remove(L, -2);
}

/* Runs what is due, until a turn finds nothing and the descriptor has been told of all that is
 * waited for. Returns for how many seconds there will be nothing, but for the descriptor. */
static double run_due(lua_State *L, struct state *s)
{
	struct home *home = s->home;
	unsigned called;
	int turns = 0;
	double now;
	do {
		called = home->called;
		now = alarms_now(&home->alarms);
		blocking_turn(L, s, EVRUN_NOWAIT);
	} while (home->called != called && ++turns < TURNS);
	if (home->called != called)
		return 0;
	return fmax(0, alarms_next(&home->alarms, now) - alarms_now(&home->alarms));
}

/* The shortest time that there is stands for none: zero would be never. */
static void set_alarm(const struct home *home, double seconds)
{
	struct itimerspec when = {0};
	if (home->alarm_fd < 0)
		return;
	if (seconds != INFINITY) {
		when.it_value.tv_sec = (time_t)seconds;
		when.it_value.tv_nsec = 1 + (long)((seconds - floor(seconds)) * 999999998);
	}
	timerfd_settime(home->alarm_fd, 0, &when, NULL);
}

static double turn(lua_State *L, struct state *s)
{
	double seconds = run_due(L, s);
	set_alarm(s->home, seconds);
	return seconds;
}

static void push_seconds(lua_State *L, double seconds)
{
	if (seconds == INFINITY)
		lua_pushnil(L);
	else
		lua_pushnumber(L, seconds);
}

bool foreign_here(lua_State *L)
{
	if (!state_of(L)->home || !lua_isyieldable(L))
		return false;
	luaL_checkstack(L, 8, NULL);
	push_function(L, HERE);
	if (!lua_isnil(L, -1))
		lua_call(L, 0, 1);
	if (lua_toboolean(L, -1))
		return true;
	lua_pop(L, 1);
	return false;
}

void foreign_refuse(lua_State *L, const char *what)
{
	if (!foreign_here(L))
		return;
	lua_getfield(L, -1, "name");
	misuse(L, "%s: this is a coroutine of %s, and waits as such: have %s run others", what,
	       lua_tostring(L, -1), lua_tostring(L, -1));
}

/* The loop stands at b->top. */
static int go_on(lua_State *L, int status, lua_KContext context)
{
	struct blocking *b = (struct blocking *)context;
	(void)status;
	while (!b->done) {
		lua_settop(L, b->top);
		state_check_own(L, b->context);
		double seconds = turn(L, b->state);
		if (b->done)
			break;
		push_function(L, WAIT);
		lua_pushvalue(L, b->top);
		lua_pushlightuserdata(L, b);
		push_seconds(L, seconds);
		lua_callk(L, 3, 0, context, go_on);
	}
	lua_settop(L, b->top - 1);
	foreign_end(b);
	return b->then(L, b);
}

int foreign_await(lua_State *L, struct blocking *b)
{
	b->top = lua_gettop(L);
	b->foreign = true;
	return go_on(L, LUA_OK, (lua_KContext)b);
}

void foreign_answered(struct blocking *b)
{
	if (!b->foreign)
		return;
	list_remove(&b->answer);
	list_push_back(&b->state->answered, &b->answer);
}

/* Not in the coroutine that happens to run, which may be about to be closed. */
static void tell(struct state *s, int which, struct blocking *b)
{
	lua_State *L = s->thread;
	if (!lua_checkstack(L, 8))
		return;
	push_function(L, which);
	lua_pushlightuserdata(L, b);
	if (lua_pcall(L, 1, 0, 0) != LUA_OK)
		lua_pop(L, 1); /* out of memory, in a state that is being closed */
}

void foreign_wake(struct state *s)
{
	while (!list_empty(&s->answered)) {
		struct blocking *b = LIST_ENTRY(s->answered.next, struct blocking, answer);
		list_remove(&b->answer);
		tell(s, WAKE, b);
	}
}

void foreign_end(struct blocking *b)
{
	list_remove(&b->answer);
	if (b->foreign)
		tell(b->state, ENDED, b);
	b->foreign = false;
}

/* core.set_loops(here, wait, wake, ended): see lua/moongate/loops.lua. */
static int set_loops(lua_State *L)
{
	lua_settop(L, FUNCTIONS);
	lua_createtable(L, FUNCTIONS, 0);
	for (int i = 1; i <= FUNCTIONS; i++) {
		luaL_checktype(L, i, LUA_TFUNCTION);
		lua_pushvalue(L, i);
		lua_rawseti(L, -2, i);
	}
	lua_rawsetp(L, LUA_REGISTRYINDEX, &functions_key);
	return 0;
}

static void check(lua_State *L, struct state *s, const char *what)
{
	state_check(L, s, what);
	state_settle(L, s);
	if (!s->home)
		misuse(L, "%s: the loop is the program's, which runs it itself", what);
}

/* Libev has no call that tells, but a watcher of another loop's that polls it. */
static int fd_of(struct home *home)
{
	struct ev_loop *inner = home->context.loop;
	if (home->fd >= 0 || ev_backend(inner) != EVBACKEND_EPOLL)
		return home->fd;
	struct ev_loop *outer = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (!outer)
		return -1;
	ev_embed watcher;
	ev_embed_init(&watcher, NULL, inner);
	ev_embed_start(outer, &watcher);
	home->fd = watcher.io.fd;
	ev_embed_stop(outer, &watcher);
	ev_loop_destroy(outer);
	return home->fd;
}

/* core.pollfd(): becomes readable when there is something to do. */
static int pollfd(lua_State *L)
{
	struct state *s = state_of(L);
	check(L, s, "cluster:pollfd");
	int fd = fd_of(s->home);
	if (fd < 0)
		misuse(L, "cluster:pollfd: libev polls by other means than epoll, which have no "
		          "descriptor: see LIBEV_FLAGS in the environment");
	lua_pushinteger(L, fd);
	return 1;
}

static bool watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* core.timed_pollfd(): the same, and it becomes readable also when a timer is due. */
static int timed_pollfd(lua_State *L)
{
	struct home *home = state_of(L)->home;
	pollfd(L);
	int fd = (int)lua_tointeger(L, -1);
	if (home->alarm_fd < 0)
		home->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (home->timed_fd < 0) {
		home->timed_fd = epoll_create1(EPOLL_CLOEXEC);
		if (!watch(home->timed_fd, fd) || !watch(home->timed_fd, home->alarm_fd))
			return luaL_error(L, "moongate: out of file descriptors");
		turn(L, state_of(L));
	}
	lua_pushinteger(L, home->timed_fd);
	return 1;
}

/* Methods of clusters, though all clusters of a state share the loop. */
static struct state *state_of_cluster(lua_State *L)
{
	return check_cluster(L, 1)->state;
}

/* cluster:pollfd() */
static int cluster_pollfd(lua_State *L)
{
	state_of_cluster(L);
	return pollfd(L);
}

/* cluster:events() */
static int cluster_events(lua_State *L)
{
	state_of_cluster(L);
	lua_pushliteral(L, "r");
	return 1;
}

/* Time passes for the loop while it is polled. */
static void drive(lua_State *L, struct state *s, const char *what)
{
	check(L, s, what);
	if (!s->driven)
		state_enter(L, s, what);
	s->driven = true;
}

/* cluster:timeout() */
static int cluster_timeout(lua_State *L)
{
	struct state *s = state_of_cluster(L);
	drive(L, s, "cluster:timeout");
	push_seconds(L, turn(L, s));
	return 1;
}

/* cluster:step() */
static int cluster_step(lua_State *L)
{
	struct state *s = state_of_cluster(L);
	drive(L, s, "cluster:step");
	turn(L, s);
	s->driven = false;
	state_leave(s);
	return 0;
}

void open_foreign(lua_State *L)
{
	static const luaL_Reg methods[] = {{"pollfd", cluster_pollfd},
	                                   {"events", cluster_events},
	                                   {"timeout", cluster_timeout},
	                                   {"step", cluster_step},
	                                   {NULL, NULL}};
	static const luaL_Reg functions[] = {{"set_loops", set_loops},
	                                     {"pollfd", pollfd},
	                                     {"timed_pollfd", timed_pollfd},
	                                     {NULL, NULL}};
	lua_getfield(L, -1, "cluster_methods");
	luaL_setfuncs(L, methods, 0);
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
