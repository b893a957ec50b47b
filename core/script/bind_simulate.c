/* bind_simulate.c - what the test kit asks of a cluster that connects nowhere: see
 * lua/moongate/testing.lua. */
/* SPDX-License-Identifier: MIT */
#include "cluster/simulate.h"

#include "base/clock.h"
#include "script/fields.h"
#include "script/handles.h"

#include <math.h>
#include <string.h>

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

static void push_judgment(lua_State *L, const struct cluster_handle *h, const struct verdict *v,
                          const struct demand *d)
{
	static const char *const kinds[] = {"route", "endpoint", "reject"};
	const struct endpoint *e = pick(h, v, d);
	lua_createtable(L, 0, 8);
	set_text(L, "kind", kinds[v->kind]);
	set_text(L, "verdict", verdict_name(v));
	set_text(L, "endpoint", e ? e->name : NULL);
	set_text(L, "rule", v->rule ? v->rule->name : NULL);
	set_text(L, "message", v->kind == VERDICT_REJECT ? v->message : NULL);
	set_text(L, "sqlstate", v->kind == VERDICT_REJECT ? v->sqlstate : NULL);
	set_text(L, "error", v->fallback ? policy_error(&h->policy) : NULL);
}

/* core.judge(cluster, sql, session, since_write): what the policy says of a statement, and which
 * endpoint that comes to: kind, verdict, endpoint, rule, message, sqlstate, error. `session` is a
 * table of user, database, application_name, address, in_transaction and parameters; `since_write`
 * is how long ago its last write was, in s. */
static int judge(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	size_t size;
	const char *sql = luaL_checklstring(L, 2, &size);
	luaL_checktype(L, 3, LUA_TTABLE);
	double since = luaL_optnumber(L, 4, INFINITY), now = clock_now();
	uint64_t key = 0;
	struct session_facts session = {.user = take_string(L, 3, "user", ""),
	                                .database = take_string(L, 3, "database", ""),
	                                .application_name =
	                                        take_string(L, 3, "application_name", ""),
	                                .address = take_string(L, 3, "address", ""),
	                                .vars = h->session.vars};
	const struct query q = {
	        .facts = classifier_facts(state_classifier(L, h->state), NULL, sql, size, true),
	        .sql = sql,
	        .sql_size = size,
	        .standard_strings = true,
	        .in_transaction = take_flag(L, 3, "in_transaction"),
	        .parameters = take_count(L, 3, "parameters", 0),
	        .key = &key,
	        .session = &session};
	struct verdict v = cluster_handle_decide(L, 1, &q);
	h->session.vars = session.vars;
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
