/* misuse.c - see misuse.h. */
/* SPDX-License-Identifier: MIT */
#include "script/misuse.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdlib.h>

static const char own_key; /* its address is the key in the registry; the byte is never read */

bool misuse_is_own(lua_State *L, const char *source)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &own_key);
	lua_getfield(L, -1, source);
	bool own = lua_toboolean(L, -1);
	lua_pop(L, 2);
	return own;
}

void misuse_where(lua_State *L)
{
	lua_Debug ar;
	for (int level = 1; lua_getstack(L, level, &ar); level++) {
		lua_getinfo(L, "Sl", &ar);
		if (ar.currentline > 0 && !misuse_is_own(L, ar.source)) {
			lua_pushfstring(L, "%s:%d", ar.short_src, ar.currentline);
			return;
		}
	}
	lua_pushliteral(L, "");
}

int misuse(lua_State *L, const char *format, ...)
{
	va_list values;
	misuse_where(L);
	lua_pushstring(L, *lua_tostring(L, -1) ? ": " : "");
	va_start(values, format);
	lua_pushvfstring(L, format, values);
	va_end(values);
	lua_concat(L, 3);
	lua_error(L);
	abort();
}

static int own(lua_State *L)
{
	lua_Debug ar;
	if (!lua_getstack(L, 1, &ar))
		return 0;
	lua_getinfo(L, "S", &ar);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &own_key);
	lua_pushboolean(L, true);
	lua_setfield(L, -2, ar.source);
	return 0;
}

/* core.misuse(message) */
static int raise(lua_State *L)
{
	return misuse(L, "%s", luaL_checkstring(L, 1));
}

/* core.where(): "file:line", as misuse() blames it. */
static int where(lua_State *L)
{
	misuse_where(L);
	return 1;
}

void open_misuse(lua_State *L)
{
	lua_newtable(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &own_key);
	lua_pushcfunction(L, own);
	lua_setfield(L, -2, "own");
	lua_pushcfunction(L, raise);
	lua_setfield(L, -2, "misuse");
	lua_pushcfunction(L, where);
	lua_setfield(L, -2, "where");
}
