/* fields.c - see fields.h. */
/* SPDX-License-Identifier: MIT */
#include "script/fields.h"

#include <lauxlib.h>
#include <limits.h>
#include <string.h>

static int refuse(lua_State *L, const char *key, const char *expected)
{
	return luaL_error(L, "moongate.core: %s must be %s, not a %s", key, expected,
	                  luaL_typename(L, -1));
}

double take_number(lua_State *L, int table, const char *key, double otherwise)
{
	double value = otherwise;
	if (lua_getfield(L, table, key) == LUA_TNUMBER)
		value = lua_tonumber(L, -1);
	else if (!lua_isnil(L, -1))
		refuse(L, key, "a number");
	lua_pop(L, 1);
	return value;
}

bool take_flag(lua_State *L, int table, const char *key)
{
	int type = lua_getfield(L, table, key);
	bool value = lua_toboolean(L, -1);
	if (type != LUA_TBOOLEAN && type != LUA_TNIL)
		refuse(L, key, "true or false");
	lua_pop(L, 1);
	return value;
}

unsigned take_count(lua_State *L, int table, const char *key, unsigned otherwise)
{
	double value = take_number(L, table, key, otherwise);
	if (!(value >= 0 && value <= INT_MAX))
		luaL_error(L, "moongate.core: %s is out of range", key);
	return (unsigned)value;
}

const char *take_string(lua_State *L, int table, const char *key, const char *otherwise)
{
	const char *value = otherwise;
	if (lua_getfield(L, table, key) == LUA_TSTRING)
		value = lua_tostring(L, -1);
	else if (!lua_isnil(L, -1))
		refuse(L, key, "a string");
	lua_pop(L, 1);
	return value;
}

int take_choice(lua_State *L, int table, const char *key, const char *const *names, int otherwise)
{
	const char *name = take_string(L, table, key, NULL);
	if (!name)
		return otherwise;
	for (int i = 0; names[i]; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return luaL_error(L, "moongate.core: %s cannot be %s", key, name);
}

bool take_table(lua_State *L, int table, const char *key)
{
	int type = lua_getfield(L, table, key);
	if (type != LUA_TTABLE && type != LUA_TNIL)
		refuse(L, key, "a table");
	return type == LUA_TTABLE;
}
