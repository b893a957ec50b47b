/* wrap.c - see wrap.h. */
/* SPDX-License-Identifier: MIT */
#include "script/wrap.h"

void wrap_fields(lua_State *L, const luaL_Reg *wrappers, struct fence *fence)
{
	for (; wrappers->name; wrappers++) {
		lua_getfield(L, -1, wrappers->name);
		lua_pushlightuserdata(L, fence);
		lua_pushcclosure(L, wrappers->func, 2);
		lua_setfield(L, -2, wrappers->name);
	}
}

int call_wrapped(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(WRAPPED));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

void charge(lua_State *L, long instructions)
{
	fence_charge(L, lua_touserdata(L, lua_upvalueindex(WRAPPED_FENCE)), instructions);
}
