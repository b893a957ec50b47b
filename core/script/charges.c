/* charges.c - see charges.h. */
/* SPDX-License-Identifier: MIT */
#include "script/charges.h"

#include "script/state.h"
#include "script/wrap.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#define MOST_CHARGED (LONG_MAX / 2) /* more than any budget */

static size_t string_size(lua_State *L, int index)
{
	return lua_type(L, index) == LUA_TSTRING ? lua_rawlen(L, index) : 0;
}

static void charge_number(lua_State *L, double instructions)
{
	if (instructions > 0)
		charge(L, instructions < (double)MOST_CHARGED ? (long)instructions : MOST_CHARGED);
}

/* string.rep(s, n, separator): its loop runs n times, also with nothing to copy. */
static int string_rep(lua_State *L)
{
	double count = lua_tonumber(L, 2);
	double bytes = (double)(string_size(L, 1) + string_size(L, 3));
	charge_number(L, count / 4 + count * bytes / 64);
	return call_wrapped(L);
}

/* Whatever goes through its first argument character by character. */
static int scan_first(lua_State *L)
{
	charge(L, charge_for_characters(string_size(L, 1)));
	return call_wrapped(L);
}

/* An element takes about as long as an instruction. */
static void charge_elements(lua_State *L, lua_Integer first, lua_Integer last)
{
	charge_number(L, (double)last - (double)first + 1);
}

/* The table's length. A __len would be asked again by the function itself, and may answer
 * differently then. */
static lua_Integer plain_length(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	if (luaL_getmetafield(L, 1, "__len") != LUA_TNIL)
		luaL_error(L, "a table with __len has no place in the functions of the table "
		              "library in a routing script");
	return (lua_Integer)lua_rawlen(L, 1);
}

/* An optional bound; what is no number is left to the function itself. */
static lua_Integer bound(lua_State *L, int index, lua_Integer otherwise)
{
	int is_integer;
	lua_Integer value = lua_tointegerx(L, index, &is_integer);
	return is_integer ? value : otherwise;
}

/* table.insert(t, position, value) */
static int table_insert(lua_State *L)
{
	if (lua_gettop(L) == 3)
		charge_elements(L, bound(L, 2, 1), plain_length(L));
	return call_wrapped(L);
}

static int table_remove(lua_State *L)
{
	if (lua_gettop(L) > 1)
		charge_elements(L, bound(L, 2, 1), plain_length(L));
	return call_wrapped(L);
}

/* table.move(from, first, last, at, to) */
static int table_move(lua_State *L)
{
	charge_elements(L, bound(L, 2, 1), bound(L, 3, 0));
	return call_wrapped(L);
}

static int table_unpack(lua_State *L)
{
	lua_Integer last = lua_isnoneornil(L, 3) ? plain_length(L) : bound(L, 3, 0);
	charge_elements(L, bound(L, 2, 1), last);
	return call_wrapped(L);
}

static int table_concat(lua_State *L)
{
	lua_Integer last = lua_isnoneornil(L, 4) ? plain_length(L) : bound(L, 4, 0);
	charge_elements(L, bound(L, 3, 1), last);
	return call_wrapped(L);
}

/* Without a function it compares strings, which may be long, and one of them many times. */
static double bytes_in(lua_State *L, lua_Integer length)
{
	double bytes = 0;
	for (lua_Integer i = 1; i <= length; i++) {
		lua_rawgeti(L, 1, i);
		bytes += (double)string_size(L, -1);
		lua_pop(L, 1);
	}
	return bytes;
}

static int table_sort(lua_State *L)
{
	lua_Integer length = plain_length(L);
	lua_settop(L, 2);
	charge_elements(L, 1, length);
	double rounds = log2((double)length + 1);
	charge_number(L, ((double)length + bytes_in(L, length) / 64) * rounds);
	return call_wrapped(L);
}

/* With few arguments it is an instruction like any other. */
static int base_select(lua_State *L)
{
	charge(L, lua_gettop(L) / 16);
	return call_wrapped(L);
}

/* A collection goes through all that is in use. The collector is everybody's: how it works can be
 * set while the script is loaded. */
static int base_collectgarbage(lua_State *L)
{
	const char *what = luaL_optstring(L, 1, "collect");
	bool collects = strcmp(what, "collect") == 0 || strcmp(what, "step") == 0;
	bool looks = strcmp(what, "count") == 0 || strcmp(what, "isrunning") == 0;
	if (!collects && !looks && state_of(L)->asking)
		return luaL_error(L, "collectgarbage: a policy cannot set how memory is collected");
	if (collects)
		charge(L, charge_for_bytes((size_t)lua_gc(L, LUA_GCCOUNT) * 1024));
	return call_wrapped(L);
}

void charge_base(lua_State *L, struct fence *fence)
{
	static const luaL_Reg wrappers[] = {{"select", base_select},
	                                    {"tonumber", scan_first},
	                                    {"collectgarbage", base_collectgarbage},
	                                    {NULL, NULL}};
	wrap_fields(L, wrappers, fence);
}

void charge_string(lua_State *L, struct fence *fence)
{
	static const luaL_Reg wrappers[] = {{"rep", string_rep},     {"byte", scan_first},
	                                    {"lower", scan_first},   {"upper", scan_first},
	                                    {"reverse", scan_first}, {"format", scan_first},
	                                    {"pack", scan_first},    {"packsize", scan_first},
	                                    {"unpack", scan_first},  {NULL, NULL}};
	wrap_fields(L, wrappers, fence);
}

void charge_table(lua_State *L, struct fence *fence)
{
	static const luaL_Reg wrappers[] = {{"insert", table_insert},
	                                    {"remove", table_remove},
	                                    {"move", table_move},
	                                    {"unpack", table_unpack},
	                                    {"concat", table_concat},
	                                    {"sort", table_sort},
	                                    {NULL, NULL}};
	wrap_fields(L, wrappers, fence);
}

void charge_utf8(lua_State *L, struct fence *fence)
{
	static const luaL_Reg wrappers[] = {{"len", scan_first},
	                                    {"codepoint", scan_first},
	                                    {"offset", scan_first},
	                                    {"codes", scan_first},
	                                    {NULL, NULL}};
	wrap_fields(L, wrappers, fence);
}
