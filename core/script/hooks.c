/* hooks.c - see hooks.h, and policy.h. */
/* SPDX-License-Identifier: MIT */
#include "script/hooks.h"

#include "base/clock.h"
#include "cluster/news.h"
#include "script/handles.h"
#include "script/misuse.h"
#include "script/query_handle.h"

#include <stdio.h>
#include <string.h>

#define LOG_EVERY 1.0 /* s between lines about one hook's errors */

static const char *const names[HOOKS] = {[HOOK_CONNECT] = "on_connect",
                                         [HOOK_ERROR] = "on_error",
                                         [HOOK_ENDPOINT] = "on_endpoint_change"};

/* Converts nothing: an error object may be anything, and memory may be short. */
static void describe(lua_State *L, const struct fence *fence, char *why, size_t size)
{
	if (fence->expired && fence->why != FENCE_INSTRUCTIONS)
		snprintf(why, size, "%s: it used up its %s", fence->where,
		         fence->why == FENCE_TIME ? "CPU time" : "memory");
	else if (fence->expired)
		snprintf(why, size, "%s: it used up its %d instructions", fence->where,
		         HOOK_INSTRUCTIONS);
	else if (lua_type(L, -1) == LUA_TSTRING)
		snprintf(why, size, "%s", lua_tostring(L, -1));
	else
		snprintf(why, size, "the error is a %s, not a message",
		         lua_typename(L, lua_type(L, -1)));
}

static void tell(const struct state *state, struct hook_health *h, const char *what,
                 const char *why)
{
	const struct log *log = &state->context->log;
	double now = clock_now();
	if (h->off) {
		log_error(log, "hook taken out", LOG_T("hook", what), LOG_T("error", why),
		          LOG_N("errors_in_a_row", h->streak));
	} else if (h->logged == 0 || now - h->logged >= LOG_EVERY) {
		log_warn(log, "hook error", LOG_T("hook", what), LOG_T("error", why),
		         LOG_N("errors", h->unlogged + 1));
	} else {
		h->unlogged++;
		return;
	}
	h->logged = now;
	h->unlogged = 0;
}

bool hook_call(struct state *state, struct hook_health *h, const char *what, lua_CFunction body,
               void *arg)
{
	char why[512];
	static const struct fence_limits limits = {.instructions = HOOK_INSTRUCTIONS,
	                                           .bytes = POLICY_BYTES,
	                                           .string = POLICY_STRING,
	                                           .time = 10 * POLICY_SECONDS};
	struct fence_saved saved;
	struct fence *fence = &state->fence;
	lua_State *L = state->thread;
	lua_pushcfunction(L, body);
	lua_pushlightuserdata(L, arg);
	state->asking++; /* what it would make would be made again and again */
	fence_enter(L, fence, &limits, &saved);
	int failed = lua_pcall(L, 1, 0, 0);
	state->asking--;
	fence_leave(L, fence, &saved);
	if (!failed && !fence->expired) {
		h->streak = 0;
		return true;
	}
	describe(L, fence, why, sizeof why);
	lua_settop(L, 0);
	h->errors++;
	h->off = ++h->streak >= POLICY_BREAKER;
	tell(state, h, what, why);
	return !h->off;
}

/* One call of a policy's hook. */
struct call {
	struct policy *policy;
	enum hook hook;
	const struct query *query;
	const struct query_error *error;
	unsigned endpoint;
	struct admission *admission;
};

static void set_text(lua_State *L, const char *key, const char *text)
{
	lua_pushstring(L, text);
	lua_setfield(L, -2, key);
}

/* Pushes what it is called with; the cluster is at 2, its query handle at 3. */
static int push_arguments(lua_State *L, const struct call *call)
{
	switch (call->hook) {
	case HOOK_CONNECT:
		lua_getiuservalue(L, 3, USER_SESSION);
		return 1;
	case HOOK_ENDPOINT:
		push_endpoint(L, 2, call->endpoint);
		return 1;
	case HOOK_ERROR:
		lua_pushvalue(L, 3);
		lua_createtable(L, 0, 4);
		set_text(L, "sqlstate", call->error->sqlstate);
		set_text(L, "message", call->error->message);
		push_own_endpoint(L, 2, call->error->endpoint);
		lua_setfield(L, -2, "endpoint");
		return 2;
	case HOOKS:
		break;
	}
	return 0;
}

/* What on_connect has returned is on top. */
static void take_admission(lua_State *L, struct policy *p, struct admission *a)
{
	const struct rejection *r = state_handle(L, p->state, -1, HANDLE_REJECTION);
	const struct cluster_handle *other = luaL_testudata(L, -1, CLUSTER_HANDLE);
	if (lua_isnil(L, -1))
		return;
	if (r) {
		a->kind = ADMISSION_REJECT;
		snprintf(a->message, sizeof a->message, "%s", r->message);
		memcpy(a->sqlstate, r->sqlstate, sizeof a->sqlstate);
	} else if (other && other->cluster) {
		a->kind = ADMISSION_CLUSTER;
		a->cluster = other->cluster;
	} else if (lua_type(L, -1) == LUA_TSTRING) {
		a->kind = ADMISSION_CLUSTER;
		snprintf(a->message, sizeof a->message, "%s", lua_tostring(L, -1));
	} else {
		luaL_error(
		        L,
		        "on_connect returned a %s; it may return nil, a cluster of the router or "
		        "the name under which one is listed, or moongate.reject()",
		        luaL_typename(L, -1));
	}
}

static int call_hook(lua_State *L)
{
	const struct call *call = lua_touserdata(L, 1);
	struct policy *p = call->policy;
	cluster_handle_push(L, p->owner);
	if (lua_isnil(L, 2))
		return 0; /* it is about to be collected */
	lua_getiuservalue(L, 2, CLUSTER_QUERY);
	lua_getiuservalue(L, 2, CLUSTER_HOOKS);
	lua_rawgeti(L, 4, (lua_Integer)call->hook + 1);
	lua_call(L, push_arguments(L, call), call->admission ? 1 : 0);
	if (call->admission)
		take_admission(L, p, call->admission);
	return 0;
}

bool policy_hears(const struct policy *p, enum hook hook)
{
	return p->hooks >> hook & 1;
}

/* `query` is what may be read meanwhile. */
static void run(struct call *call)
{
	struct policy *p = call->policy;
	struct hook_health *h = &p->hook_health[call->hook];
	const struct query *outer = query_handle_begin(p->handle, call->query);
	uint64_t errors = h->errors;
	if (!hook_call(p->state, h, names[call->hook], call_hook, call))
		p->hooks &= ~(1u << call->hook);
	p->stats.errors += h->errors - errors;
	query_handle_resume(p->handle, outer);
}

struct admission policy_connect(struct policy *p, struct session_facts *session)
{
	static const struct facts none = {.intent = INTENT_READ, .kind = SQL_EMPTY};
	struct admission admission = {.kind = ADMISSION_HERE};
	const struct query query = {.facts = &none, .sql = "", .session = session};
	struct call call = {
	        .policy = p, .hook = HOOK_CONNECT, .query = &query, .admission = &admission};
	if (policy_hears(p, HOOK_CONNECT))
		run(&call);
	return admission;
}

void policy_tell_error(struct policy *p, const struct query *query, const struct query_error *error)
{
	struct call call = {.policy = p, .hook = HOOK_ERROR, .query = query, .error = error};
	if (policy_hears(p, HOOK_ERROR))
		run(&call);
}

static void on_change(struct endpoint *e, void *arg)
{
	struct policy *p = arg;
	struct call call = {.policy = p, .hook = HOOK_ENDPOINT, .endpoint = e->index};
	if (policy_hears(p, HOOK_ENDPOINT))
		run(&call);
}

void hooks_take(lua_State *L, int cluster, struct policy *p)
{
	int table = lua_gettop(L);
	lua_createtable(L, HOOKS, 0);
	for (int i = 0; i < HOOKS; i++) {
		int type = lua_getfield(L, table, names[i]);
		if (type != LUA_TFUNCTION && type != LUA_TNIL)
			misuse(L, "moongate.cluster: the policy's %s must be a function, not a %s",
			       names[i], lua_typename(L, type));
		p->hooks |= type == LUA_TFUNCTION ? 1u << i : 0;
		lua_rawseti(L, table + 1, i + 1);
	}
	lua_setiuservalue(L, cluster, CLUSTER_HOOKS);
	if (policy_hears(p, HOOK_ENDPOINT))
		news_listen(p->owner->cluster, on_change, p);
}
