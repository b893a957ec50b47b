/* bind_rule.c - core.rule(name): what counts how often a rule has decided, and lets it be told. */
/* SPDX-License-Identifier: MIT */
#include "script/handles.h"

#include <stdio.h>
#include <string.h>

static const char owner_key; /* its address is the key in the registry; the byte is never read */

void rules_of(lua_State *L, int cluster, struct policy *policy)
{
	state_of(L)->building = policy;
	if (policy)
		lua_pushvalue(L, cluster);
	else
		lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &owner_key);
}

static bool is_taken(const struct policy *policy, const char *name)
{
	for (const struct rule *r = policy->rules; r; r = r->next)
		if (strcmp(r->name, name) == 0)
			return true;
	return false;
}

/* Metrics tell rules by their names. */
static void name_apart(struct rule *rule, const struct policy *policy)
{
	char name[POLICY_RULE_NAME - 8];
	snprintf(name, sizeof name, "%.*s", (int)sizeof name - 1, rule->name);
	for (unsigned i = 2; is_taken(policy, rule->name) && i < 1000; i++)
		snprintf(rule->name, sizeof rule->name, "%s (%u)", name, i);
}

/* The rule on top of the stack is the last one of the policy that is being made. */
static void append(lua_State *L, struct rule *rule)
{
	struct policy *policy = state_of(L)->building;
	if (!policy)
		return;
	struct rule **last = &policy->rules;
	name_apart(rule, policy);
	rule->shown.number = 1;
	for (; *last; last = &(*last)->next)
		rule->shown.number++;
	*last = rule;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &owner_key);
	lua_getiuservalue(L, -1, CLUSTER_ROUTES_TABLE); /* keeps it as long as the routes */
	lua_pushvalue(L, -3);
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
	lua_pop(L, 2);
}

/* core.rule(name): a rule of the policy whose factory is running, if one is. */
static int new_rule(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	struct rule *rule = lua_newuserdatauv(L, sizeof *rule, 0);
	*rule = (struct rule){.shown.name = rule->name};
	snprintf(rule->name, sizeof rule->name, "%s", name);
	luaL_setmetatable(L, RULE_HANDLE);
	append(L, rule);
	return 1;
}

/* rule:hit(): it decides of the query that is being asked about. */
static int rule_hit(lua_State *L)
{
	struct rule *rule = luaL_checkudata(L, 1, RULE_HANDLE);
	rule->shown.hits++;
	state_of(L)->rule = &rule->shown;
	return 0;
}

/* rule:hits() */
static int rule_hits(lua_State *L)
{
	const struct rule *rule = luaL_checkudata(L, 1, RULE_HANDLE);
	lua_pushinteger(L, (lua_Integer)rule->shown.hits);
	return 1;
}

static int rule_tostring(lua_State *L)
{
	const struct rule *rule = luaL_checkudata(L, 1, RULE_HANDLE);
	lua_pushfstring(L, "%s: %s", RULE_HANDLE, rule->name);
	return 1;
}

void open_rule(lua_State *L)
{
	static const luaL_Reg metamethods[] = {{"__tostring", rule_tostring}, {NULL, NULL}};
	static const luaL_Reg methods[] = {{"hit", rule_hit}, {"hits", rule_hits}, {NULL, NULL}};
	static const luaL_Reg functions[] = {{"rule", new_rule}, {NULL, NULL}};
	handle_class(L, RULE_HANDLE, metamethods, methods);
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
