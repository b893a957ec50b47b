/* sandbox.c - see sandbox.h. */
/* SPDX-License-Identifier: MIT */
#include "script/sandbox.h"

#include "script/charges.h"
#include "script/module.h"
#include "script/readonly.h"
#include "script/state.h"
#include "script/strings.h"
#include "script/wrap.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <string.h>

#define PRINT_INSTRUCTIONS  500  /* a line in the log */
#define SEARCH_INSTRUCTIONS 1000 /* looking for a file in several folders */

static const char library_refusal[] =
        "%s cannot be set: the libraries are read-only in a routing script, since all of its "
        "policies share them; make it a local";
static const char module_refusal[] =
        "%s cannot be set: moongate's modules are read-only in a routing script, since all of its "
        "policies share them";
static const char global_refusal[] =
        "the global %s cannot be set once the script is loaded; what a policy keeps belongs into "
        "locals of its factory, or into query.session.vars";

static void remove_fields(lua_State *L, const char *const *names)
{
	for (; *names; names++) {
		lua_pushnil(L);
		lua_setfield(L, -2, *names);
	}
}

static int setmetatable_without_gc(lua_State *L)
{
	if (lua_istable(L, 2)) {
		lua_pushliteral(L, "__gc");
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L, "setmetatable: routing scripts have no __gc");
		lua_pop(L, 1);
	}
	return call_wrapped(L);
}

/* The compiler takes longer for a byte than an instruction does, and in the worst case, of labels
 * and gotos, the more, the longer the text is. */
static long charge_for_source(size_t size)
{
	return (long)size * 8;
}

/* Upvalue 1 is what gives the pieces of a text, called by load(). */
static int charged_piece(lua_State *L)
{
	lua_settop(L, 0);
	lua_pushvalue(L, lua_upvalueindex(WRAPPED));
	lua_call(L, 0, 1);
	if (lua_type(L, 1) == LUA_TSTRING)
		charge(L, charge_for_source(lua_rawlen(L, 1)));
	return 1;
}

/* load(chunk, name, mode, env), of text only, whatever the mode. */
static int load_text(lua_State *L)
{
	struct fence *fence = lua_touserdata(L, lua_upvalueindex(WRAPPED_FENCE));
	if (lua_gettop(L) < 3)
		lua_settop(L, 3);
	lua_pushliteral(L, "t");
	lua_replace(L, 3);
	if (lua_type(L, 1) == LUA_TSTRING) {
		charge(L, charge_for_source(lua_rawlen(L, 1)));
	} else if (lua_isfunction(L, 1)) {
		lua_pushvalue(L, 1);
		lua_pushlightuserdata(L, fence);
		lua_pushcclosure(L, charged_piece, 2);
		lua_replace(L, 1);
	}
	int results = call_wrapped(L);
	fence_check(L, fence);
	return results;
}

/* pcall() and xpcall() with `function_at` 2 and 3: below the function stand true and, for the
 * latter, the handler. Upvalue 2: the fence. Errors of the fence are not caught: a loop that does
 * so would run for FENCE_INTERVAL instructions more each time. */
static int end_call(lua_State *L, int status, lua_KContext below)
{
	if (status == LUA_OK || status == LUA_YIELD)
		return lua_gettop(L) - (int)below;
	fence_check(L, lua_touserdata(L, lua_upvalueindex(WRAPPED_FENCE)));
	lua_pushboolean(L, false);
	lua_insert(L, -2);
	return 2;
}

static int protected_call(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushboolean(L, true);
	lua_insert(L, 1);
	int arguments = lua_gettop(L) - 2;
	return end_call(L, lua_pcallk(L, arguments, LUA_MULTRET, 0, 0, end_call), 0);
}

/* xpcall(f, handler, ...): they come to stand as f, handler, true, f, ... */
static int handled_call(lua_State *L)
{
	int arguments = lua_gettop(L) - 2;
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_pushboolean(L, true);
	lua_pushvalue(L, 1);
	lua_rotate(L, 3, 2);
	return end_call(L, lua_pcallk(L, arguments, LUA_MULTRET, 2, 2, end_call), 2);
}

static int print_to_log(lua_State *L)
{
	int count = lua_gettop(L);
	charge(L, PRINT_INSTRUCTIONS);
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
	charge(L, FENCE_INTERVAL);
	lua_settop(L, 1);
	lua_pushcclosure(L, protected_body, 1);
	return call_wrapped(L);
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
	fence_charge(L, &state_of(L)->fence, SEARCH_INSTRUCTIONS);
	lua_getfield(L, lua_upvalueindex(1), "searchpath");
	lua_pushvalue(L, 1);
	lua_getfield(L, lua_upvalueindex(1), "path");
	lua_call(L, 2, 2);
	if (lua_isnil(L, -2))
		return 1;
	return load_module(L, lua_tostring(L, -2));
}

static void freeze_field(lua_State *L, int table, const char *name)
{
	if (lua_getfield(L, table, name) == LUA_TTABLE)
		readonly_freeze(L, module_refusal);
	lua_pop(L, 1);
}

/* The module's core hands out the methods of clusters, to which the module adds its own. */
static void freeze_module(lua_State *L, const char *name)
{
	bool own = strncmp(name, "moongate", 8) == 0 && (name[8] == '\0' || name[8] == '.');
	if (!own || !lua_istable(L, -1))
		return;
	readonly_freeze(L, module_refusal);
	if (strcmp(name, "moongate") != 0)
		return;
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	if (lua_getfield(L, -1, "moongate.core") == LUA_TTABLE)
		freeze_field(L, lua_gettop(L), "cluster_methods");
	lua_pop(L, 2);
}

/* require(name): what is moongate's own is the same for all policies, and stays so. */
static int require_frozen(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);
	lua_settop(L, 1);
	lua_pushvalue(L, lua_upvalueindex(WRAPPED));
	lua_pushvalue(L, 1);
	lua_call(L, 1, 2);
	lua_pushvalue(L, 2);
	freeze_module(L, name);
	lua_pop(L, 1);
	if (lua_isnil(L, 3))
		lua_settop(L, 2); /* it had been loaded before */
	return lua_gettop(L) - 1;
}

static void open_base(lua_State *L, struct fence *fence)
{
	static const char *const unsafe[] = {"dofile", "loadfile", NULL};
	static const luaL_Reg wrappers[] = {{"setmetatable", setmetatable_without_gc},
	                                    {"load", load_text},
	                                    {"pcall", protected_call},
	                                    {"xpcall", handled_call},
	                                    {"print", print_to_log},
	                                    {NULL, NULL}};
	luaL_requiref(L, "_G", luaopen_base, 1);
	remove_fields(L, unsafe);
	wrap_fields(L, wrappers, fence);
	charge_base(L, fence);
	readonly_open(L);
	lua_pop(L, 1);
}

static void open_coroutine(lua_State *L, struct fence *fence)
{
	static const luaL_Reg wrappers[] = {
	        {"create", make_coroutine}, {"wrap", make_coroutine}, {NULL, NULL}};
	luaL_requiref(L, LUA_COLIBNAME, luaopen_coroutine, 1);
	wrap_fields(L, wrappers, fence);
	readonly_freeze(L, library_refusal);
	lua_pop(L, 1);
}

static void open_os(lua_State *L)
{
	static const char *const unsafe[] = {"execute",   "exit",    "remove", "rename",
	                                     "setlocale", "tmpname", NULL};
	luaL_requiref(L, LUA_OSLIBNAME, luaopen_os, 1);
	remove_fields(L, unsafe);
	readonly_freeze(L, library_refusal);
	lua_pop(L, 1);
}

/* The methods of strings are found without a detour. */
static void open_string(lua_State *L, struct fence *fence)
{
	static const char *const unsafe[] = {"dump", NULL};
	luaL_requiref(L, LUA_STRLIBNAME, luaopen_string, 1);
	remove_fields(L, unsafe);
	charge_string(L, fence);
	strings_open(L, fence);
	readonly_freeze(L, library_refusal);
	lua_pushliteral(L, "");
	lua_getmetatable(L, -1);
	luaL_getmetafield(L, -3, "__index");
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, false);
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 3);
}

static void open_plain(lua_State *L, struct fence *fence)
{
	luaL_requiref(L, LUA_TABLIBNAME, luaopen_table, 1);
	charge_table(L, fence);
	readonly_freeze(L, library_refusal);
	luaL_requiref(L, LUA_MATHLIBNAME, luaopen_math, 1);
	readonly_freeze(L, library_refusal);
	luaL_requiref(L, LUA_UTF8LIBNAME, luaopen_utf8, 1);
	charge_utf8(L, fence);
	readonly_freeze(L, library_refusal);
	lua_pop(L, 3);
}

/* Where modules are searched for: as preloaded, the core only, and as text. */
static void set_searchers(lua_State *L)
{
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
	lua_pop(L, 1);
}

/* What scripts see of the package table on top. */
static void show_package(lua_State *L)
{
	static const char *const shown[] = {"path", "cpath", "config", NULL};
	lua_createtable(L, 0, 4);
	for (const char *const *name = shown; *name; name++) {
		lua_getfield(L, -2, *name);
		lua_setfield(L, -2, *name);
	}
	lua_getfield(L, -2, "loaded");
	readonly_view(L, library_refusal);
	lua_setfield(L, -2, "loaded");
	readonly_freeze(L, library_refusal);
	lua_getfield(L, -2, "loaded");
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, LUA_LOADLIBNAME);
	lua_pop(L, 1);
	lua_setglobal(L, LUA_LOADLIBNAME);
}

static void open_package(lua_State *L, const char *lua_path, struct fence *fence)
{
	static const luaL_Reg wrappers[] = {{"require", require_frozen}, {NULL, NULL}};
	luaL_requiref(L, LUA_LOADLIBNAME, luaopen_package, 1);
	lua_pushstring(L, lua_path ? lua_path : "");
	lua_setfield(L, -2, "path");
	lua_pushliteral(L, "");
	lua_setfield(L, -2, "cpath");
	set_searchers(L);
	show_package(L);
	lua_pushglobaltable(L);
	wrap_fields(L, wrappers, fence);
	lua_pop(L, 2);
}

void sandbox_open(lua_State *L, const char *lua_path)
{
	struct fence *fence = &state_of(L)->fence;
	open_base(L, fence);
	open_coroutine(L, fence);
	open_os(L);
	open_string(L, fence);
	open_plain(L, fence);
	open_package(L, lua_path, fence);
}

void sandbox_freeze(lua_State *L)
{
	lua_pushglobaltable(L);
	readonly_freeze(L, global_refusal);
	lua_pop(L, 1);
}
