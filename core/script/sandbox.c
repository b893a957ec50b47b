/* sandbox.c - see sandbox.h. */
/* SPDX-License-Identifier: MIT */
#include "script/sandbox.h"

#include "script/module.h"
#include "script/state.h"

#include <lauxlib.h>
#include <lualib.h>

static void remove_fields(lua_State *L, const char *const *names)
{
	for (; *names; names++) {
		lua_pushnil(L);
		lua_setfield(L, -2, *names);
	}
}

/* Replaces a function of the table on top by one that has it as its first upvalue. */
static void wrap_field(lua_State *L, const char *name, lua_CFunction wrapper)
{
	lua_getfield(L, -1, name);
	lua_pushcclosure(L, wrapper, 1);
	lua_setfield(L, -2, name);
}

static int call_original(lua_State *L, int results)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, results);
	return lua_gettop(L);
}

static int setmetatable_without_gc(lua_State *L)
{
	if (lua_istable(L, 2)) {
		lua_pushliteral(L, "__gc");
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L, "setmetatable: routing scripts have no __gc");
		lua_pop(L, 1);
	}
	return call_original(L, LUA_MULTRET);
}

/* load(chunk, name, mode, env), of text only, whatever the mode. */
static int load_text(lua_State *L)
{
	if (lua_gettop(L) < 3)
		lua_settop(L, 3);
	lua_pushliteral(L, "t");
	lua_replace(L, 3);
	return call_original(L, LUA_MULTRET);
}

static int print_to_log(lua_State *L)
{
	int count = lua_gettop(L);
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	for (int i = 1; i <= count; i++) {
		if (i > 1)
			luaL_addchar(&b, ' ');
		luaL_tolstring(L, i, NULL);
		luaL_addvalue(&b);
	}
	luaL_pushresult(&b);
	log_info(&state_of(L)->context->log, "script", LOG_T("text", lua_tostring(L, -1)));
	return 0;
}

static int end_body(lua_State *L, int status, lua_KContext unused)
{
	(void)unused;
	if (status != LUA_OK && status != LUA_YIELD)
		return lua_error(L);
	return lua_gettop(L);
}

/* What a coroutine runs: its function, in a protected call. Without it an error raised by the hook
 * would leave the dead coroutine with its hooks off, and its __close handlers still to come. */
static int protected_body(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	return end_body(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, end_body), 0);
}

/* create() and wrap(). A coroutine's first instructions are counted only when there are enough of
 * them: charging for each keeps many short ones from running for nothing. */
static int make_coroutine(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	fence_charge(L, &state_of(L)->fence, FENCE_INTERVAL);
	lua_settop(L, 1);
	lua_pushcclosure(L, protected_body, 1);
	return call_original(L, 1);
}

static int load_module(lua_State *L, const char *path)
{
	if (luaL_loadfilex(L, path, "t") != LUA_OK)
		return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s",
		                  lua_tostring(L, 1), path, lua_tostring(L, -1));
	lua_pushstring(L, path);
	return 2;
}

/* As Lua's own searcher for Lua files, which takes bytecode too. Upvalue 1: the package table. */
static int search_text(lua_State *L)
{
	luaL_checkstring(L, 1);
	lua_getfield(L, lua_upvalueindex(1), "searchpath");
	lua_pushvalue(L, 1);
	lua_getfield(L, lua_upvalueindex(1), "path");
	lua_call(L, 2, 2);
	if (lua_isnil(L, -2))
		return 1;
	return load_module(L, lua_tostring(L, -2));
}

static void open_base(lua_State *L)
{
	static const char *const unsafe[] = {"dofile", "loadfile", NULL};
	luaL_requiref(L, "_G", luaopen_base, 1);
	remove_fields(L, unsafe);
	wrap_field(L, "setmetatable", setmetatable_without_gc);
	wrap_field(L, "load", load_text);
	lua_pushcfunction(L, print_to_log);
	lua_setfield(L, -2, "print");
	lua_pop(L, 1);
}

static void open_coroutine(lua_State *L)
{
	luaL_requiref(L, LUA_COLIBNAME, luaopen_coroutine, 1);
	wrap_field(L, "create", make_coroutine);
	wrap_field(L, "wrap", make_coroutine);
	lua_pop(L, 1);
}

static void open_os(lua_State *L)
{
	static const char *const unsafe[] = {"execute",   "exit",    "remove", "rename",
	                                     "setlocale", "tmpname", NULL};
	luaL_requiref(L, LUA_OSLIBNAME, luaopen_os, 1);
	remove_fields(L, unsafe);
	lua_pop(L, 1);
}

static void open_plain(lua_State *L)
{
	static const char *const unsafe[] = {"dump", NULL};
	luaL_requiref(L, LUA_TABLIBNAME, luaopen_table, 1);
	luaL_requiref(L, LUA_MATHLIBNAME, luaopen_math, 1);
	luaL_requiref(L, LUA_UTF8LIBNAME, luaopen_utf8, 1);
	luaL_requiref(L, LUA_STRLIBNAME, luaopen_string, 1);
	remove_fields(L, unsafe);
	lua_pop(L, 4);
}

static void open_package(lua_State *L, const char *lua_path)
{
	static const char *const unsafe[] = {"loadlib", NULL};
	luaL_requiref(L, LUA_LOADLIBNAME, luaopen_package, 1);
	remove_fields(L, unsafe);
	lua_pushstring(L, lua_path ? lua_path : "");
	lua_setfield(L, -2, "path");
	lua_pushliteral(L, "");
	lua_setfield(L, -2, "cpath");
	lua_createtable(L, 2, 0);
	lua_getfield(L, -2, "searchers");
	lua_rawgeti(L, -1, 1); /* the one for package.preload */
	lua_rawseti(L, -3, 1);
	lua_pop(L, 1);
	lua_pushvalue(L, -2);
	lua_pushcclosure(L, search_text, 1);
	lua_rawseti(L, -2, 2);
	lua_setfield(L, -2, "searchers");
	lua_getfield(L, -1, "preload");
	lua_pushcfunction(L, luaopen_moongate_core);
	lua_setfield(L, -2, "moongate.core");
	lua_pop(L, 2);
}

void sandbox_open(lua_State *L, const char *lua_path)
{
	open_base(L);
	open_coroutine(L);
	open_os(L);
	open_plain(L);
	open_package(L, lua_path);
}
