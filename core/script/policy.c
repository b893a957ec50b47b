/* policy.c - see policy.h. */
/* SPDX-License-Identifier: MIT */
#include "script/policy.h"

#include "base/clock.h"
#include "script/fence.h"
#include "script/handles.h"
#include "script/policy_lua.h"

#include <stdio.h>
#include <string.h>

#define LOG_EVERY 1.0 /* s between lines about a policy's errors */

struct verdict policy_default(struct policy *p, const struct query *q)
{
	return (struct verdict){
	        .kind = VERDICT_ROUTE,
	        .route = cluster_default_route(p->owner->cluster, q->facts->intent),
	};
}

/* A script that fails at every query fails thousands of times a second. */
static void log_error_line(struct policy *p, const char *why)
{
	double now = clock_now();
	const struct log *log = &p->state->context->log;
	if (p->stats.tripped) {
		log_error(log, "policy taken out of the path", LOG_T("error", why),
		          LOG_T("policy", p->where), LOG_N("errors_in_a_row", p->streak),
		          LOG_T("next", "default routes decide until the script is loaded anew"));
	} else if (p->logged == 0 || now - p->logged >= LOG_EVERY) {
		log_warn(log, "policy error", LOG_T("error", why), LOG_T("policy", p->where),
		         LOG_N("errors", p->unlogged + 1), LOG_T("next", "default route"));
	} else {
		p->unlogged++;
		return;
	}
	p->logged = now;
	p->unlogged = 0;
}

static struct verdict fall_back(struct policy *p, const struct query *q, const char *why)
{
	p->stats.errors++;
	p->stats.tripped = ++p->streak >= POLICY_BREAKER;
	if (!p->trying)
		log_error_line(p, why);
	struct verdict v = policy_default(p, q);
	v.fallback = true;
	snprintf(p->why, sizeof p->why, "%s", why);
	return v;
}

static struct verdict complain_of_result(lua_State *L, struct policy *p, const struct query *q)
{
	char why[160];
	snprintf(why, sizeof why,
	         "the policy returned a %s; it may return a route or an endpoint of its own "
	         "cluster, nil, or moongate.reject()",
	         lua_typename(L, lua_type(L, -1)));
	return fall_back(p, q, why);
}

static const char *memory_reason(const struct fence *fence)
{
	switch (fence->memory->refusal) {
	case MEMORY_CALL:
		return "asked for more memory than one call may, " POLICY_BYTES_TEXT;
	case MEMORY_STRING:
		return "made a string longer than " POLICY_STRING_TEXT;
	default:
		return "found the script's memory used up";
	}
}

static void describe_expiry(const struct policy *p, char *why, size_t size)
{
	const struct fence *fence = &p->state->fence;
	const char *where = fence->where[0] ? fence->where : p->where;
	if (fence->why == FENCE_MEMORY)
		snprintf(why, size, "%s: the policy %s", where, memory_reason(fence));
	else if (fence->why == FENCE_TIME)
		snprintf(why, size, "%s: the policy ran for more than %d ms", where,
		         (int)(POLICY_SECONDS * 1000));
	else
		snprintf(why, size, "%s: the policy used up its %d instructions", where,
		         POLICY_INSTRUCTIONS);
}

/* Converts nothing: an error object may be anything, and memory may be short. */
static struct verdict complain_of_error(lua_State *L, struct policy *p, const struct query *q)
{
	char why[512];
	if (p->state->fence.expired)
		describe_expiry(p, why, sizeof why);
	else if (lua_type(L, -1) == LUA_TSTRING)
		snprintf(why, sizeof why, "%s", lua_tostring(L, -1));
	else
		snprintf(why, sizeof why, "the error is a %s, not a message",
		         lua_typename(L, lua_type(L, -1)));
	return fall_back(p, q, why);
}

static struct verdict reject(struct policy *p, const struct rejection *r)
{
	struct verdict v = {.kind = VERDICT_REJECT, .label = p->label};
	snprintf(p->label, sizeof p->label, POLICY_LABEL "%s", r->message);
	v.message = p->label + strlen(POLICY_LABEL);
	memcpy(v.sqlstate, r->sqlstate, sizeof v.sqlstate);
	return v;
}

static struct verdict judge(lua_State *L, struct policy *p, const struct query *q)
{
	const struct state *state = p->state;
	const void *address = lua_touserdata(L, -1);
	for (const struct route_handle *r = p->owner->routes; r; r = r->next)
		if (r == address)
			return (struct verdict){.kind = VERDICT_ROUTE, .route = r->route};
	if (lua_isnil(L, -1))
		return policy_default(p, q);
	const struct endpoint_handle *e = state_handle(L, state, -1, HANDLE_ENDPOINT);
	struct endpoint *endpoint = e && e->owner == p->owner ? endpoint_of(e) : NULL;
	if (endpoint)
		return (struct verdict){.kind = VERDICT_ENDPOINT, .endpoint = endpoint};
	const struct rejection *rejection = state_handle(L, state, -1, HANDLE_REJECTION);
	if (rejection)
		return reject(p, rejection);
	return complain_of_result(L, p, q);
}

/* A policy may read the text of its query, however long, and make a few strings of it. */
static struct fence_limits limits_for(const struct query *q)
{
	return (struct fence_limits){
	        .instructions = POLICY_INSTRUCTIONS,
	        .bytes = POLICY_BYTES + 4 * q->sql_size,
	        .string = POLICY_STRING + q->sql_size,
	        .time = POLICY_SECONDS,
	};
}

struct verdict policy_ask(lua_State *L, struct policy *p, const struct query *q)
{
	struct fence *fence = &p->state->fence;
	const struct fence_limits limits = limits_for(q);
	struct fence_saved saved;
	p->stats.calls++;
	p->state->rule = NULL;
	*fence->line = '\0';
	const struct query_handle *outer = p->state->asked;
	p->state->asked = p->handle;
	query_handle_begin(p->handle, q);
	p->state->asking++;
	fence_enter(L, fence, &limits, &saved);
	int failed = lua_pcall(L, 1, 1, 0);
	fence_leave(L, fence, &saved);
	p->state->asking--;
	query_handle_end(p->handle);
	p->state->asked = outer;
	struct verdict v = failed || fence->expired ? complain_of_error(L, p, q) : judge(L, p, q);
	if (!v.fallback) {
		p->streak = 0;
		v.rule = p->state->rule;
	}
	lua_pop(L, 1);
	return v;
}

struct verdict policy_route(struct policy *p, const struct query *q)
{
	if (!p->handle || p->stats.tripped) {
		struct verdict v = policy_default(p, q);
		*p->state->fence.line = '\0';
		v.fallback = p->stats.tripped;
		return v;
	}
	lua_pushvalue(p->L, p->anchor);
	lua_pushvalue(p->L, p->anchor + 1);
	return policy_ask(p->L, p, q);
}

void policy_anchor(struct policy *p, lua_State *L, int index)
{
	p->L = L;
	p->anchor = index;
}

bool policy_busy(const struct policy *p)
{
	return p->handle && query_handle_busy(p->handle);
}

const char *policy_error(const struct policy *p)
{
	return p->why;
}

const struct policy_rule *policy_rule_after(const struct policy *p, const struct policy_rule *rule)
{
	const struct rule *next = rule ? LIST_ENTRY(rule, struct rule, shown)->next : p->rules;
	return next ? &next->shown : NULL;
}

unsigned policy_examples(const struct policy *p)
{
	return p->examples;
}

struct policy_stats policy_stats(const struct policy *p)
{
	return p->stats;
}

void policy_trace(struct policy *p, bool on)
{
	if (p->L)
		fence_trace(p->L, &p->state->fence, on);
}

const char *policy_line(const struct policy *p)
{
	return *p->state->fence.line ? p->state->fence.line : NULL;
}

void policy_session_end(struct policy *p, struct session_facts *session)
{
	if (session->vars == 0 || !p->L)
		return;
	lua_pushvalue(p->L, p->anchor + 1);
	query_handle_drop_vars(p->L, session->vars);
	lua_pop(p->L, 1);
	session->vars = 0;
}

struct move {
	lua_State *from;
	int vars;
};

/* The query handle and a struct move; the reference is the result. */
static int copy_vars(lua_State *L)
{
	const struct move *move = lua_touserdata(L, 2);
	lua_settop(L, 1);
	lua_pushinteger(L, query_handle_copy_vars(L, move->from, move->vars));
	return 1;
}

/* Reads them from a stack of its own: both policies may be of one script, which has but one. */
static int move_vars(const struct policy *from, const struct policy *to, int vars)
{
	struct move move = {from->state->thread, vars};
	int moved = 0;
	lua_pushvalue(from->L, from->anchor + 1);
	lua_xmove(from->L, move.from, 1);
	lua_pushcfunction(to->L, copy_vars);
	lua_pushvalue(to->L, to->anchor + 1);
	lua_pushlightuserdata(to->L, &move);
	if (lua_pcall(to->L, 2, 1, 0) == LUA_OK)
		moved = (int)lua_tointeger(to->L, -1);
	lua_pop(to->L, 1);
	lua_settop(move.from, 0); /* also where the copy broke off */
	return moved;
}

void policy_session_move(struct policy *from, struct policy *to, struct session_facts *session)
{
	struct session_facts before = {.vars = session->vars};
	session->vars = 0;
	if (before.vars != 0 && from->L && to->L)
		session->vars = move_vars(from, to, before.vars);
	policy_session_end(from, &before);
}

const char *verdict_name(const struct verdict *v)
{
	switch (v->kind) {
	case VERDICT_ROUTE:
		return route_name(v->route);
	case VERDICT_ENDPOINT:
		return v->endpoint->name;
	case VERDICT_REJECT:
		break;
	}
	return v->label;
}
