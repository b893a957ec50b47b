/* json_integers.c - see json_integers.h. */
/* SPDX-License-Identifier: MIT */
#include "script/json_integers.h"

#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>

#define EXACT 9007199254740992.0 /* 2^53: beyond it, integers may have been others */

static void convert_table(lua_State *L);

/* Pushes the integer that the number on top is; of -0.0 the sign would be lost. */
static bool push_integer(lua_State *L)
{
	lua_Number n = lua_tonumber(L, -1);
	if (!(fabs(n) < EXACT) || (lua_Number)(lua_Integer)n != n || (n == 0 && signbit(n)))
		return false;
	lua_pushinteger(L, (lua_Integer)n);
	return true;
}

static void convert_list(lua_State *L, lua_Integer size) // NOLINT(misc-no-recursion)
{
	for (lua_Integer i = 1; i <= size; i++) {
		int type = lua_rawgeti(L, -1, i);
		if (type == LUA_TTABLE)
			convert_table(L);
		else if (type == LUA_TNUMBER && push_integer(L))
			lua_rawseti(L, -3, i);
		lua_pop(L, 1);
	}
}

static void convert_object(lua_State *L) // NOLINT(misc-no-recursion)
{
	lua_pushnil(L);
	while (lua_next(L, -2)) {
		int type = lua_type(L, -1);
		if (type == LUA_TTABLE) {
			convert_table(L);
		} else if (type == LUA_TNUMBER && push_integer(L)) {
			lua_pushvalue(L, -3);
			lua_replace(L, -3);
			lua_rawset(L, -4);
			continue;
		}
		lua_pop(L, 1);
	}
}

/* Of the table on top. A decoder makes lists or objects, and no cycles. */
static void convert_table(lua_State *L) // NOLINT(misc-no-recursion)
{
	lua_Integer size = (lua_Integer)lua_rawlen(L, -1);
	luaL_checkstack(L, 4, "JSON is nested too deep");
	if (size > 0)
		convert_list(L, size);
	else
		convert_object(L);
}

static int decode(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 1);
	int type = lua_type(L, -1);
	if (type == LUA_TTABLE)
		convert_table(L);
	else if (type == LUA_TNUMBER)
		push_integer(L);
	return 1;
}

static int with_integers(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_settop(L, 1);
	lua_pushcclosure(L, decode, 1);
	return 1;
}

void open_json_integers(lua_State *L)
{
	lua_pushcfunction(L, with_integers);
	lua_setfield(L, -2, "with_integers");
}
