/* bind_rule.c - core.rule(name): what counts how often a rule has decided, and lets it be told; and
 * what else lua/moongate/rules.lua goes by. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "cluster/scopes.h"
#include "script/handles.h"
#include "script/misuse.h"

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

/* How much of a text fits in `size` bytes: no half of a UTF-8 character. */
static size_t whole_characters(const char *text, size_t size)
{
	if (strlen(text) <= size)
		return strlen(text);
	while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
		size--;
	return size;
}

static bool is_taken(const struct rule *first, const char *name)
{
	for (const struct rule *r = first; r; r = r->next)
		if (strcmp(r->name, name) == 0)
			return true;
	return false;
}

/* Metrics tell rules by their names: where another one of the policy is called the same, this is
 * "name (2)", its end cut for want of room. */
static void name_apart(struct rule *rule, const struct rule *first)
{
	char suffix[16];
	size_t kept = strlen(rule->name);
	for (unsigned i = 2; is_taken(first, rule->name); i++) {
		size_t length = (size_t)snprintf(suffix, sizeof suffix, " (%u)", i);
		rule->name[kept] = '\0';
		kept = whole_characters(rule->name, sizeof rule->name - 1 - length);
		memcpy(rule->name + kept, suffix, length + 1);
	}
}

/* The rule on top of the stack is the last one of the policy that is being made. */
static void append(lua_State *L, struct rule *rule)
{
	struct policy *policy = state_of(L)->building;
	if (!policy)
		return;
	struct rule **last = &policy->rules;
	name_apart(rule, policy->rules);
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

/* What core.rule() returns beside the rule. Upvalues: the rule, and the state, neither of which has
 * to be looked up. */
static int hit_own(lua_State *L)
{
	struct rule *rule = lua_touserdata(L, lua_upvalueindex(1));
	struct state *state = lua_touserdata(L, lua_upvalueindex(2));
	rule->shown.hits++;
	state->rule = &rule->shown;
	return 0;
}

/* core.rule(name): a rule of the policy whose factory is running, if one is; and a function that is
 * its hit(), for where every nanosecond counts. */
static int new_rule(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	const struct state *state = state_of(L);
	if (state->fence.depth > 0 && !state->loading) /* nothing would keep it for the verdict */
		misuse(L,
		       "core.rule: rules are made when the script is loaded, not for each query");
	struct rule *rule = lua_newuserdatauv(L, sizeof *rule, 0);
	*rule = (struct rule){.shown.name = rule->name};
	snprintf(rule->name, sizeof rule->name, "%.*s",
	         (int)whole_characters(name, sizeof rule->name - 1), name);
	luaL_setmetatable(L, RULE_HANDLE);
	append(L, rule);
	lua_pushvalue(L, -1);
	lua_pushlightuserdata(L, state_of(L));
	lua_pushcclosure(L, hit_own, 2);
	return 2;
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

/* core.now(): seconds of a clock that never goes back. */
static int now(lua_State *L)
{
	lua_pushnumber(L, clock_now());
	return 1;
}

/* core.share(text): where it falls in [0, 1); the same in every process and version. */
static int share(lua_State *L)
{
	size_t size;
	const char *text = luaL_checklstring(L, 1, &size);
	lua_pushnumber(L, (double)(scope_key(text, size) >> 11) * 0x1.0p-53);
	return 1;
}

/* All that query.kind may be. */
static void push_kinds(lua_State *L)
{
	lua_createtable(L, SQL_KINDS, 0);
	for (int i = 0; i < SQL_KINDS; i++) {
		lua_pushstring(L, sql_kind_name((enum sql_kind)i));
		lua_rawseti(L, -2, i + 1);
	}
}

void open_rule(lua_State *L)
{
	static const luaL_Reg metamethods[] = {{"__tostring", rule_tostring}, {NULL, NULL}};
	static const luaL_Reg methods[] = {{"hit", rule_hit}, {"hits", rule_hits}, {NULL, NULL}};
	static const luaL_Reg functions[] = {
	        {"rule", new_rule}, {"now", now}, {"share", share}, {NULL, NULL}};
	handle_class(L, RULE_HANDLE, metamethods, methods);
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
	push_kinds(L);
	lua_setfield(L, -2, "kinds");
}
