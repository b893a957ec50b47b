/* readonly.c - see readonly.h. */
/* SPDX-License-Identifier: MIT */
#include "script/readonly.h"

#include "script/wrap.h"

#include <stdbool.h>

static const char contents_key; /* its address is the key in the metatable; never read */

/* Pushes what the read-only table at `index` holds; false: it is an ordinary value. */
static bool push_contents(lua_State *L, int index)
{
	if (!lua_istable(L, index) || !lua_getmetatable(L, index))
		return false;
	lua_rawgetp(L, -1, &contents_key);
	lua_remove(L, -2);
	if (lua_istable(L, -1))
		return true;
	lua_pop(L, 1);
	return false;
}

/* __newindex; upvalue 1: the refusal. */
static int refuse(lua_State *L)
{
	const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "[...]";
	lua_pushfstring(L, lua_tostring(L, lua_upvalueindex(1)), key);
	return luaL_error(L, "%s", lua_tostring(L, -1));
}

static int next_entry(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	if (push_contents(L, 1))
		lua_replace(L, 1);
	if (lua_next(L, 1))
		return 2;
	lua_pushnil(L);
	return 1;
}

static int pairs(lua_State *L)
{
	lua_pushcfunction(L, next_entry);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

static int raw_get(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkany(L, 2);
	lua_settop(L, 2);
	if (push_contents(L, 1))
		lua_replace(L, 1);
	lua_rawget(L, 1);
	return 1;
}

/* What is read-only says so in its own words. */
static int raw_set(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkany(L, 2);
	luaL_checkany(L, 3);
	lua_settop(L, 3);
	if (push_contents(L, 1)) {
		lua_pop(L, 1);
		lua_settable(L, 1);
	} else {
		lua_rawset(L, 1);
	}
	lua_settop(L, 1);
	return 1;
}

/* Pushes the metatable of what shows the contents on top of the stack. */
static void push_metatable(lua_State *L, const char *refusal)
{
	lua_createtable(L, 0, 5);
	lua_pushvalue(L, -2);
	lua_rawsetp(L, -2, &contents_key);
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, "__index");
	lua_pushstring(L, refusal);
	lua_pushcclosure(L, refuse, 1);
	lua_setfield(L, -2, "__newindex");
	lua_pushcfunction(L, pairs);
	lua_setfield(L, -2, "__pairs");
	lua_pushboolean(L, false);
	lua_setfield(L, -2, "__metatable");
}

/* From the table at `from` into the one on top. */
static void move_entries(lua_State *L, int from)
{
	int to = lua_gettop(L);
	for (lua_pushnil(L); lua_next(L, from);) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, to);
		lua_pushvalue(L, -1);
		lua_pushnil(L);
		lua_rawset(L, from);
	}
}

void readonly_freeze(lua_State *L, const char *refusal)
{
	int table = lua_gettop(L);
	luaL_checkstack(L, 8, NULL);
	if (push_contents(L, table)) {
		lua_pop(L, 1);
		return;
	}
	lua_newtable(L);
	move_entries(L, table);
	if (lua_getmetatable(L, table)) /* a script's own, of its globals */
		lua_setmetatable(L, -2);
	push_metatable(L, refusal);
	lua_setmetatable(L, table);
	lua_settop(L, table);
}

void readonly_view(lua_State *L, const char *refusal)
{
	luaL_checkstack(L, 8, NULL);
	push_metatable(L, refusal);
	lua_newtable(L);
	lua_insert(L, -2);
	lua_setmetatable(L, -2);
	lua_remove(L, -2);
}

void readonly_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
	        {"next", next_entry}, {"rawget", raw_get}, {"rawset", raw_set}, {NULL, NULL}};
	luaL_setfuncs(L, functions, 0);
}
