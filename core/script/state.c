/* state.c - see state.h. */
/* SPDX-License-Identifier: MIT */
#include "script/state.h"

#include "base/clock.h"
#include "base/random.h"
#include "cluster/interrupt.h"
#include "cluster/resolver.h"
#include "script/misuse.h"
#include "script/reclaim.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <unistd.h>

#define STATEMENTS 1000  /* that the embedded module's classifier remembers */
#define FAREWELL   1.0   /* s that PostgreSQL has to stop what is given up as the state ends */
#define NO_NEWS    0.001 /* s: after so short a time the loop is not asked what there is */

static const char state_key; /* its address is the key; the byte is never read */
static const char thread_key;

static void home_free(struct home *home)
{
	if (!home)
		return;
	home_free(home->before);
	if (context_is_own(&home->context))
		interrupts_end(&home->context, FAREWELL);
	resolver_free(home->context.resolver);
	if (home->context.loop)
		ev_loop_destroy(home->context.loop);
	if (home->alarm_fd >= 0)
		close(home->alarm_fd);
	if (home->timed_fd >= 0)
		close(home->timed_fd);
	free(home);
}

static void leave_host(struct state *s)
{
	if (!s->hosted)
		return;
	ev_ref(s->context->loop);
	ev_prepare_stop(s->context->loop, &s->turn);
	ev_idle_stop(s->context->loop, &s->busy);
	s->hosted = false;
}

/* Goes last: in a state that is closed, finalizers run in the reverse order of creation. */
static int state_gc(lua_State *L)
{
	struct state *s = lua_touserdata(L, 1);
	reclaim_stop(s);
	leave_host(s);
	classifier_free(s->classifier);
	classifier_free(s->asked_classifier);
	s->classifier = s->asked_classifier = NULL;
	home_free(s->home);
	s->home = NULL;
	return 0;
}

static void stand_still(struct home *home)
{
	ev_suspend(home->context.loop);
	alarms_pause(&home->alarms);
	home->left = clock_now();
}

/* Returns for how long it has stood still. */
static double go_on(struct home *home)
{
	double away = clock_now() - home->left;
	home->context.stood_still += away;
	ev_resume(home->context.loop);
	alarms_resume(&home->alarms);
	return away;
}

/* A turn of the loop in which nothing was called has changed nothing. */
static void on_pending(struct ev_loop *loop)
{
	struct home *home = ev_userdata(loop);
	home->called += ev_pending_count(loop);
	ev_invoke_pending(loop);
}

static struct home *home_new(void)
{
	struct home *home = calloc(1, sizeof *home);
	if (!home)
		return NULL;
	home->fd = home->alarm_fd = home->timed_fd = -1;
	struct context *c = &home->context;
	c->pid = getpid();
	c->log = log_by_environment();
	random_secret(&c->random, sizeof c->random);
	c->alarms = &home->alarms;
	c->loop = ev_loop_new(EVFLAG_AUTO);
	if (c->loop) {
		ev_set_userdata(c->loop, home);
		ev_set_invoke_pending_cb(c->loop, on_pending);
		c->resolver = resolver_new(c);
	}
	if (c->resolver) {
		stand_still(home);
		return home;
	}
	home_free(home);
	return NULL;
}

static void open_home(lua_State *L, struct state *s)
{
	struct home *home = home_new();
	if (!home)
		luaL_error(L, "moongate: cannot start: no memory or descriptors for an event loop");
	home->before = s->home;
	s->embedded = true;
	s->home = home;
	s->context = &home->context;
}

void state_settle(lua_State *L, struct state *s)
{
	if (!s->home || context_is_own(s->context))
		return;
	reclaim_stop(s); /* in the parent's loop, which runs here no more */
	open_home(L, s);
	if (s->entered)
		go_on(s->home);
}

void state_check_own(lua_State *L, const struct context *context)
{
	if (!context_is_own(context))
		misuse(L, "this process was forked while its parent was waiting: it can't wait for "
		          "the same");
}

struct state *state_new(lua_State *L, struct context *context)
{
	struct state *s = lua_newuserdatauv(L, sizeof *s, 0);
	*s = (struct state){.context = context};
	tasks_init(&s->tasks);
	list_init(&s->waiting);
	list_init(&s->polled);
	list_init(&s->answered);
	list_init(&s->flows);
	list_init(&s->noticed);
	reclaim_init(s);
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, state_gc);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	if (!context)
		open_home(L, s);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
	s->thread = lua_newthread(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &thread_key);
	return s;
}

struct state *state_of(lua_State *L)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
	struct state *s = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return s;
}

struct classifier *state_classifier(lua_State *L, struct state *s)
{
	struct classifier **c = s->fence.depth > 0 ? &s->asked_classifier : &s->classifier;
	if (!*c)
		*c = classifier_new(STATEMENTS);
	if (!*c)
		luaL_error(L, "moongate: out of memory");
	return *c;
}

void *state_handle(lua_State *L, const struct state *s, int index, enum handle_type type)
{
	void *handle = lua_touserdata(L, index);
	if (!handle || !lua_getmetatable(L, index))
		return NULL;
	const void *metatable = lua_topointer(L, -1);
	lua_pop(L, 1);
	return metatable == s->types[type] ? handle : NULL;
}

void state_check(lua_State *L, const struct state *s, const char *what)
{
	if (!s->embedded)
		misuse(L, "%s: a routing script says where queries go; it cannot run any", what);
	if (s->fence.depth > 0)
		misuse(L, "%s: a policy says where a query goes; it cannot run any", what);
}

void state_enter(lua_State *L, struct state *s, const char *what)
{
	state_check(L, s, what);
	state_settle(L, s);
	unsigned others = s->entered++;
	if (s->hosted || others > (s->driven ? 1 : 0)) {
		ev_now_update(s->context->loop); /* a task may have worked long */
		return;
	}
	if (others || go_on(s->home) > NO_NEWS) /* servers that have gone, answers to probes */
		ev_run(s->context->loop, EVRUN_NOWAIT);
}

void state_leave(struct state *s)
{
	if (--s->entered == 0 && !s->hosted)
		stand_still(s->home);
}
