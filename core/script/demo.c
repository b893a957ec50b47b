/* demo.c - see demo.h. */
/* SPDX-License-Identifier: MIT */
#include "script/demo.h"

#include "script/module.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

static void set_path(lua_State *L, const char *lua_path)
{
	lua_getglobal(L, "package");
	lua_pushfstring(L, "%s;", lua_path);
	lua_getfield(L, -2, "path");
	lua_concat(L, 2);
	lua_setfield(L, -2, "path");
	lua_pop(L, 1);
}

static void push_arguments(lua_State *L, const char *program, char **arguments)
{
	lua_newtable(L);
	lua_pushstring(L, program);
	lua_rawseti(L, -2, 0);
	for (int i = 0; arguments[i]; i++) {
		lua_pushstring(L, arguments[i]);
		lua_rawseti(L, -2, i + 1);
	}
}

int demo_run(const char *program, char **arguments, const char *lua_path, const char *scripts)
{
	lua_State *L = luaL_newstate();
	int status = 1;
	if (!L)
		return 1;
	luaL_openlibs(L);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	lua_pushcfunction(L, luaopen_moongate_core);
	lua_setfield(L, -2, "moongate.core");
	lua_pop(L, 1);
	set_path(L, lua_path);
	lua_getglobal(L, "require");
	lua_pushstring(L, "moongate.demo");
	if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
		lua_getfield(L, -1, "main");
		push_arguments(L, program, arguments);
		lua_newtable(L);
		lua_pushstring(L, scripts);
		lua_setfield(L, -2, "scripts");
		if (lua_pcall(L, 2, 1, 0) == LUA_OK)
			status = (int)lua_tointeger(L, -1);
		else
			fprintf(stderr, "moongate demo: %s\n", luaL_tolstring(L, -1, NULL));
	} else {
		fprintf(stderr, "moongate demo: %s\n", luaL_tolstring(L, -1, NULL));
	}
	lua_close(L);
	return status;
}
