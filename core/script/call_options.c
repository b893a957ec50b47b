/* call_options.c - see call_options.h. */
/* SPDX-License-Identifier: MIT */
#include "script/call_options.h"

#include "script/misuse.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

static const char *const names[] = {"as", "intent", "timeout"};

/* Pushes ' (did you mean "intent"?)', or "": moongate.options knows. */
static void push_suggestion(lua_State *L, int key)
{
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	if (lua_getfield(L, -1, "moongate.options") != LUA_TTABLE) {
		lua_pushliteral(L, "");
		return;
	}
	lua_getfield(L, -1, "suggest");
	lua_pushvalue(L, key);
	lua_createtable(L, sizeof names / sizeof *names, 0);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		lua_pushstring(L, names[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_call(L, 2, 1);
}

static int refuse_key(lua_State *L, int key)
{
	if (lua_type(L, key) != LUA_TSTRING)
		return misuse(L, "a table that is the last argument holds the options of the call, "
		                 "\"as\", \"intent\" and \"timeout\"; an array as a parameter is "
		                 "moongate.array { ... }");
	push_suggestion(L, key);
	return misuse(
	        L,
	        "unknown option \"%s\" of the call%s; there are \"as\", \"intent\" and \"timeout\"",
	        lua_tostring(L, key), lua_tostring(L, -1));
}

/* Whether the value on top is the second of these; it is one of them. */
static bool take_second(lua_State *L, const char *option, const char *first, const char *second)
{
	const char *given = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
	if (strcmp(given, first) != 0 && strcmp(given, second) != 0)
		misuse(L, "the option \"%s\" is \"%s\" or \"%s\", not %s", option, first, second,
		       *given ? lua_pushfstring(L, "\"%s\"", given) : luaL_typename(L, -1));
	return strcmp(given, second) == 0;
}

static void take_intent(lua_State *L, struct call_options *to)
{
	to->intent = take_second(L, "intent", "read", "write") ? INTENT_WRITE : INTENT_READ;
	to->has_intent = true;
}

static void take_timeout(lua_State *L, struct call_options *to)
{
	lua_Number seconds = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
	if (!(seconds > 0) || isinf(seconds))
		misuse(L, "the option \"timeout\" is a number of seconds above 0, not %s",
		       lua_type(L, -1) == LUA_TNUMBER ? luaL_tolstring(L, -1, NULL)
		                                      : luaL_typename(L, -1));
	to->timeout = seconds;
}

struct call_options take_call_options(lua_State *L, int index)
{
	struct call_options options = {0};
	int table = lua_gettop(L);
	if (table <= index || lua_type(L, table) != LUA_TTABLE)
		return options;
	if (lua_getmetatable(L, table)) {
		lua_pop(L, 1);
		return options;
	}
	for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
		if (strcmp(key, "intent") == 0)
			take_intent(L, &options);
		else if (strcmp(key, "timeout") == 0)
			take_timeout(L, &options);
		else if (strcmp(key, "as") == 0)
			options.as_list = take_second(L, "as", "table", "list");
		else
			refuse_key(L, table + 1);
	}
	lua_settop(L, table - 1);
	return options;
}

struct facts call_facts(const struct call_options *options, const struct facts *facts)
{
	struct facts given = *facts;
	if (options->has_intent)
		given.intent = options->intent;
	return given;
}

bool call_writes(const struct call_options *options, const struct facts *facts)
{
	if (!options->has_intent)
		return facts->intent == INTENT_WRITE;
	return options->intent == INTENT_WRITE || facts_writes_surely(facts);
}
