/* bind_names.c - core.names_any(): which tables and functions a statement names, asked without a
 * list being made of them for every query. */
/* SPDX-License-Identifier: MIT */
#include "script/query_handle.h"

#include <string.h>

/* What `decide` says of the name on top, which `known` has not; pops it. */
static bool decide(lua_State *L)
{
	lua_pushvalue(L, 4);
	lua_insert(L, -2);
	lua_call(L, 1, 1);
	bool meant = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return meant;
}

static bool is_meant(lua_State *L, const char *name)
{
	lua_pushstring(L, name);
	lua_pushvalue(L, -1);
	bool known = lua_rawget(L, 3) != LUA_TNIL;
	bool meant = lua_toboolean(L, -1);
	lua_pop(L, 1);
	if (!known)
		return decide(L);
	lua_pop(L, 1);
	return meant;
}

/* core.names_any(query, "tables" or "functions", known, decide): whether the statement names one
 * for which known[name] is true, or which is not in there and decide(name) says so of. Upvalue: the
 * state. */
static int names_any(lua_State *L)
{
	const struct state *state = lua_touserdata(L, lua_upvalueindex(1));
	const struct query_handle *h = lua_touserdata(L, 1);
	luaL_argcheck(L, h && h == state->asked, 1,
	              "the query that the policy is being asked about expected");
	bool tables = strcmp(luaL_checkstring(L, 2), "tables") == 0;
	luaL_checktype(L, 3, LUA_TTABLE);
	lua_settop(L, 4);
	const struct facts *f = h->query->facts;
	const char *const *names = tables ? f->tables : f->functions;
	size_t count = tables ? f->table_count : f->function_count;
	bool found = false;
	for (size_t i = 0; i < count && !found; i++)
		found = is_meant(L, names[i]);
	lua_pushboolean(L, found);
	return 1;
}

void open_names(lua_State *L)
{
	lua_pushlightuserdata(L, state_of(L));
	lua_pushcclosure(L, names_any, 1);
	lua_setfield(L, -2, "names_any");
}
