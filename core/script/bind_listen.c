/* bind_listen.c - core.listen(): what lua/moongate/listen.lua makes its listeners of. */
/* SPDX-License-Identifier: MIT */
#include "cluster/alarms.h"
#include "script/answer.h"
#include "script/blocking.h"
#include "script/misuse.h"
#include "script/patience.h"
#include "script/subscription.h"

#include <math.h>
#include <stdlib.h>

#define LISTENER_HANDLE "moongate.subscription"

/* User value 1: the cluster's userdata. */
struct listener {
	struct cluster_handle *owner;
	struct list calls; /* of tasks that wait for something of it */
	bool waited_for;   /* one of them for a notification */
	struct subscription subscription;
};

/* One wait; what is missing when it is over is for `then` to find out. */
struct listener_call {
	struct blocking blocking;
	struct list link;
	struct listener *listener;
	bool for_note;
	bool late;
	double seconds; /* INFINITY: however long */
	ev_timer timer;
	PGnotify *notify; /* what it has got */
};

/* There is something to tell, or nothing to wait for any more. */
static bool over(const struct listener_call *call)
{
	const struct subscription *s = &call->listener->subscription;
	if (!s->cluster || s->state == SUBSCRIPTION_RESTING)
		return true;
	return call->for_note ? !list_empty(&s->notes) : subscription_current(s);
}

static void told(struct subscription *s)
{
	const struct listener *l = LIST_ENTRY(s, struct listener, subscription);
	LIST_EACH (&l->calls, link) {
		struct listener_call *call = LIST_ENTRY(link, struct listener_call, link);
		if (!call->blocking.done && over(call))
			blocking_finish(&call->blocking);
	}
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct listener_call *call = LIST_ENTRY(timer, struct listener_call, timer);
	call->late = true;
	blocking_finish(&call->blocking);
}

static void call_end(struct blocking *b)
{
	struct listener_call *call = (struct listener_call *)b;
	ev_timer_stop(b->context->loop, &call->timer);
	list_remove(&call->link);
	PQfreemem(call->notify);
	call->notify = NULL;
	if (call->for_note)
		call->listener->waited_for = false;
}

static struct listener_call *call_begin(lua_State *L, struct listener *l, double seconds,
                                        const char *what)
{
	struct listener_call *call = blocking_begin_sized(L, l->owner->state, sizeof *call, what);
	call->listener = l;
	call->seconds = seconds;
	list_init(&call->link);
	list_push_back(&l->calls, &call->link);
	ev_timer_init(&call->timer, on_time, 0, 0);
	call->blocking.end = call_end;
	return call;
}

static int call_await(lua_State *L, struct listener_call *call, blocking_then_fn *then)
{
	if (over(call))
		blocking_finish(&call->blocking);
	else if (isfinite(call->seconds)) {
		ev_timer_set(&call->timer, call->seconds, 0);
		alarm_start(call->blocking.context, &call->timer);
	}
	return blocking_await(L, &call->blocking, then);
}

/* Why there is nothing. */
static int push_trouble(lua_State *L, const struct subscription *s)
{
	if (!s->cluster)
		return push_failure(L, "the listener was closed", "57P01", NULL);
	if (s->state == SUBSCRIPTION_RESTING)
		lua_pushfstring(L, "gave up after %d attempts: %s", (int)s->failures, s->message);
	else
		lua_pushfstring(L, "not listening in time%s%s", *s->message ? ": " : "",
		                s->message);
	return push_failure(L, lua_tostring(L, -1), *s->sqlstate ? s->sqlstate : "57P03", NULL);
}

static struct listener *check(lua_State *L)
{
	return luaL_checkudata(L, 1, LISTENER_HANDLE);
}

/* Raises, blaming the caller, where it is of no use any more. */
static struct listener *check_open(lua_State *L, const char *what)
{
	struct listener *l = check(L);
	if (!l->subscription.cluster)
		misuse(L, "%s: the listener is closed", what);
	check_own(L, l->owner);
	return l;
}

static int asked(lua_State *L, struct blocking *b)
{
	const struct subscription *s = &((struct listener_call *)b)->listener->subscription;
	if (!subscription_current(s))
		return push_trouble(L, s);
	lua_pushboolean(L, true);
	return 1;
}

/* core.listener_ask(subscription, sql, what, soon?): from now on it has run this. Unless `soon` is
 * true, waits until it has: true, or nil, message, code, fields after the cluster's
 * acquire_timeout.
 */
static int ask(lua_State *L)
{
	const char *sql = luaL_checkstring(L, 2), *what = luaL_checkstring(L, 3);
	struct listener *l = check_open(L, what);
	struct subscription *s = &l->subscription;
	bool soon = lua_toboolean(L, 4);
	struct listener_call *call = call_begin(L, l, s->cluster->pool.acquire_timeout, what);
	if (!subscription_ask(s, sql))
		return luaL_error(L, "%s: out of memory", what);
	return soon ? 0 : call_await(L, call, asked);
}

static void set_field(lua_State *L, const char *name, const char *value)
{
	lua_pushstring(L, value);
	lua_setfield(L, -2, name);
}

static int push_note(lua_State *L, const PGnotify *n)
{
	lua_createtable(L, 0, 3);
	if (!n) {
		lua_pushboolean(L, true);
		lua_setfield(L, -2, "reconnected");
		return 1;
	}
	set_field(L, "channel", n->relname);
	set_field(L, "payload", n->extra);
	lua_pushinteger(L, n->be_pid);
	lua_setfield(L, -2, "pid");
	return 1;
}

static int waited(lua_State *L, struct blocking *b)
{
	struct listener_call *call = (struct listener_call *)b;
	struct subscription *s = &call->listener->subscription;
	struct note *note = s->cluster ? subscription_take(s) : NULL;
	if (!note && call->late)
		return push_failure(L, "timeout", "57014", NULL);
	if (!note)
		return push_trouble(L, s);
	call->notify = note->notify;
	free(note);
	return push_note(L, call->notify);
}

/* core.listener_wait(subscription, timeout?): the next notification, { channel =, payload =, pid =
 * }, or { reconnected = true }; or nil, message, code, fields. */
static int wait(lua_State *L)
{
	struct listener *l = check_open(L, "listener:wait");
	double seconds = take_patience(L, 2, "listener:wait");
	if (l->waited_for)
		misuse(L, "listener:wait: another task waits on this listener already; each may "
		          "have a listener of its own");
	struct listener_call *call = call_begin(L, l, seconds, "listener:wait");
	call->for_note = l->waited_for = true;
	if (list_empty(&l->subscription.notes))
		subscription_go_on(&l->subscription);
	return call_await(L, call, waited);
}

/* core.listener_close(subscription) */
static int listener_close(lua_State *L)
{
	struct listener *l = check(L);
	subscription_close(&l->subscription);
	return 0;
}

/* core.listener_is_open(subscription) */
static int is_open(lua_State *L)
{
	lua_pushboolean(L, check(L)->subscription.cluster != NULL);
	return 1;
}

/* core.listen(cluster): a subscription that hears nothing yet. */
static int listen_to(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	state_check(L, h->state, "cluster:listen");
	struct listener *l = lua_newuserdatauv(L, sizeof *l, 1);
	*l = (struct listener){.owner = h};
	check_cluster(L, 1); /* a finalizer may have closed it */
	list_init(&l->calls);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, LISTENER_HANDLE);
	subscription_init(&l->subscription, h->cluster, &h->subscriptions, told);
	return 1;
}

void open_listen(lua_State *L)
{
	static const luaL_Reg metamethods[] = {
	        {"__gc", listener_close}, {"__close", listener_close}, {NULL, NULL}};
	static const luaL_Reg functions[] = {
	        {"listen", listen_to},         {"listener_ask", ask},
	        {"listener_wait", wait},       {"listener_close", listener_close},
	        {"listener_is_open", is_open}, {NULL, NULL}};
	handle_class(L, LISTENER_HANDLE, metamethods, NULL);
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
