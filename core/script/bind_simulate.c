/* bind_simulate.c - what the test kit asks of a cluster that connects nowhere: see
 * lua/moongate/testing.lua. */
/* SPDX-License-Identifier: MIT */
#include "cluster/simulate.h"

#include "base/clock.h"
#include "script/fields.h"
#include "script/handles.h"

#include <math.h>
#include <string.h>

#define TRIES 200 /* of a choice by load or latency, to see where it may end */

static void set_text(lua_State *L, const char *key, const char *text)
{
	lua_pushstring(L, text);
	lua_setfield(L, -2, key);
}

/* core.simulate(endpoint, what): true, or nil and what is wrong. */
static int simulate(lua_State *L)
{
	char wrong[256];
	const struct endpoint_handle *h = state_handle(L, state_of(L), 1, HANDLE_ENDPOINT);
	if (!h)
		return luaL_typeerror(L, 1, ENDPOINT_HANDLE);
	struct endpoint *e = h->owner->cluster ? endpoint_of(h) : NULL;
	if (!e)
		return luaL_argerror(L, 1, "its cluster is closed");
	if (endpoint_simulate(e, luaL_checkstring(L, 2), wrong, sizeof wrong)) {
		lua_pushboolean(L, true);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, wrong);
	return 2;
}

static struct endpoint *pick(const struct cluster_handle *h, const struct verdict *v,
                             const struct demand *d)
{
	if (v->kind == VERDICT_REJECT)
		return NULL;
	if (v->kind == VERDICT_ENDPOINT)
		return endpoint_meets(v->endpoint, d) ? v->endpoint : cluster_primary(h->cluster);
	return route_pick(v->route, d);
}

/* Endpoints that chance could have it go to, too: weights leave no doubt, the others are tried. */
static uint64_t possible(const struct verdict *v, const struct demand *d, const struct endpoint *e)
{
	uint64_t set = e ? UINT64_C(1) << e->index : 0;
	if (v->kind != VERDICT_ROUTE || !e)
		return set;
	enum balance balance = route_config(v->route)->balance;
	if (balance == BALANCE_WEIGHTED || balance == BALANCE_ROUND_ROBIN)
		return route_candidates(v->route, d);
	for (int i = 0; i < TRIES; i++) {
		const struct endpoint *other = route_pick(v->route, d);
		set |= other ? UINT64_C(1) << other->index : 0;
	}
	return set;
}

static void push_candidates(lua_State *L, const struct cluster *c, uint64_t set)
{
	lua_Integer count = 0;
	lua_newtable(L);
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (set >> i & 1) {
			lua_pushstring(L, c->endpoints[i]->name);
			lua_rawseti(L, -2, ++count);
		}
}

static void push_judgment(lua_State *L, const struct cluster_handle *h, const struct verdict *v,
                          const struct demand *d)
{
	static const char *const kinds[] = {"route", "endpoint", "reject"};
	const struct endpoint *e = pick(h, v, d);
	lua_createtable(L, 0, 9);
	set_text(L, "kind", kinds[v->kind]);
	set_text(L, "verdict", verdict_name(v));
	set_text(L, "endpoint", e ? e->name : NULL);
	push_candidates(L, h->cluster, possible(v, d, e));
	lua_setfield(L, -2, "candidates");
	set_text(L, "rule", v->rule ? v->rule->name : NULL);
	set_text(L, "message", v->kind == VERDICT_REJECT ? v->message : NULL);
	set_text(L, "sqlstate", v->kind == VERDICT_REJECT ? v->sqlstate : NULL);
	set_text(L, "error", v->fallback ? policy_error(&h->policy) : NULL);
}

/* The strings stay in the table at `t`, and its `vars`, too. */
static struct session_facts take_session(lua_State *L, int t)
{
	return (struct session_facts){
	        .user = take_string(L, t, "user", ""),
	        .database = take_string(L, t, "database", ""),
	        .application_name = take_string(L, t, "application_name", ""),
	        .address = take_string(L, t, "address", ""),
	        .vars = (int)take_count(L, t, "vars", 0),
	};
}

/* core.judge(cluster, sql, session, since_write): what the policy says of a statement, and which
 * endpoint that comes to: kind, verdict, endpoint, candidates (that chance could have chosen, too),
 * rule, message, sqlstate, error. `session` is a table of user, database, application_name,
 * address, in_transaction and parameters, which keeps the session's `vars`, too; `since_write` is
 * how long ago its last write was, in s. */
static int judge(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	size_t size;
	const char *sql = luaL_checklstring(L, 2, &size);
	luaL_checktype(L, 3, LUA_TTABLE);
	double since = luaL_optnumber(L, 4, INFINITY), now = clock_now();
	uint64_t key = 0;
	struct session_facts session = take_session(L, 3);
	static const struct transaction_facts block;
	bool in_block = take_flag(L, 3, "in_transaction");
	struct facts facts =
	        *classifier_facts(state_classifier(L, h->state), NULL, sql, size, true);
	if (in_block) /* that may write, where all statements are writes */
		facts.intent = INTENT_WRITE;
	const struct query q = {.facts = &facts,
	                        .sql = sql,
	                        .sql_size = size,
	                        .standard_strings = true,
	                        .in_transaction = in_block,
	                        .transaction = in_block ? &block : NULL,
	                        .parameters = take_count(L, 3, "parameters", 0),
	                        .key = &key,
	                        .session = &session};
	struct verdict v = cluster_handle_decide(L, 1, &q);
	lua_pushinteger(L, session.vars);
	lua_setfield(L, 3, "vars");
	const struct demand demand = {.now = now, .last_write = now - since};
	push_judgment(L, h, &v, &demand);
	return 1;
}

/* core.rules(cluster): its policy's rules, each { name =, hits = }. */
static int rules(lua_State *L)
{
	const struct cluster_handle *h = check_cluster(L, 1);
	lua_Integer count = 0;
	lua_newtable(L);
	for (const struct policy_rule *r = NULL; (r = policy_rule_after(&h->policy, r));) {
		lua_createtable(L, 0, 2);
		set_text(L, "name", r->name);
		lua_pushinteger(L, (lua_Integer)r->hits);
		lua_setfield(L, -2, "hits");
		lua_rawseti(L, -2, ++count);
	}
	return 1;
}

void open_simulate(lua_State *L)
{
	static const luaL_Reg functions[] = {
	        {"simulate", simulate}, {"judge", judge}, {"rules", rules}, {NULL, NULL}};
	luaL_setfuncs(L, functions, 0);
}
