/* parameters.c - see parameters.h. */
/* SPDX-License-Identifier: MIT */
#include "script/parameters.h"

#include "script/handles.h"
#include "script/misuse.h"
#include "script/numbers.h"
#include "script/type_oids.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define PARAMETER_HANDLE "moongate.parameter"
#define MAX_PARAMETERS   65535 /* protocol: an Int16, taken as unsigned */

/* What moongate.array() and the like make. User value 1: the text, or the bytes. */
struct parameter {
	Oid type; /* 0: inferred */
	bool binary;
};

/* As exec_query has them, each of one length. */
struct arrays {
	const char **values;
	Oid *types;
	int *lengths, *formats;
};

static bool is_null(lua_State *L, int index)
{
	return lua_isnil(L, index) ||
	       (lua_islightuserdata(L, index) && lua_touserdata(L, index) == NULL);
}

static bool is_text(lua_State *L, int index)
{
	size_t size;
	const char *text = lua_tolstring(L, index, &size);
	return strlen(text) == size;
}

static void push_number_text(lua_State *L, lua_Number value)
{
	char text[NUMBER_TEXT];
	number_to_text(value, text);
	lua_pushstring(L, text);
}

/* NaN, Infinity and -0 are float8: not all versions of numeric have them. */
static Oid float_type(lua_Number value)
{
	return isfinite(value) && !(value == 0 && signbit(value)) ? TYPE_NUMERIC : TYPE_FLOAT8;
}

/* Pushes the text of the number at `index`. */
static Oid push_number(lua_State *L, int index)
{
	if (!lua_isinteger(L, index)) {
		push_number_text(L, lua_tonumber(L, index));
		return float_type(lua_tonumber(L, index));
	}
	lua_Integer value = lua_tointeger(L, index);
	lua_pushfstring(L, "%I", (LUAI_UACINT)value);
	return value >= INT32_MIN && value <= INT32_MAX ? TYPE_INT4 : TYPE_INT8;
}

/* Pushes the value of the userdata at `index`; false: it is no parameter. */
static bool push_made(lua_State *L, int index, struct parameter *to)
{
	const struct parameter *p = luaL_testudata(L, index, PARAMETER_HANDLE);
	if (!p)
		return false;
	*to = *p;
	lua_getiuservalue(L, index, 1);
	return true;
}

bool push_made_parameter(lua_State *L, int index, bool *binary)
{
	struct parameter p = {0};
	bool made = push_made(L, index, &p);
	*binary = p.binary;
	return made;
}

static void refuse(lua_State *L, int index, int number)
{
	if (lua_type(L, index) == LUA_TSTRING)
		misuse(L,
		       "parameter %d: PostgreSQL's texts hold no zero bytes "
		       "(moongate.bytea(string) "
		       "makes a bytea)",
		       number);
	misuse(L,
	       "parameter %d: nil, boolean, number or string expected, got %s (moongate.array(), "
	       "moongate.json() and moongate.bytea() make parameters of other values; options of a "
	       "call are a plain "
	       "table behind its parameters, those of a pipeline are pipeline()'s)",
	       number, luaL_typename(L, index));
}

/* Pushes the text of the value at `index`, which is not NULL, and says how it is sent. */
static bool push_text(lua_State *L, int index, struct parameter *how)
{
	switch (lua_type(L, index)) {
	case LUA_TBOOLEAN:
		lua_pushstring(L, lua_toboolean(L, index) ? "t" : "f");
		how->type = TYPE_BOOL;
		return true;
	case LUA_TNUMBER:
		how->type = push_number(L, index);
		return true;
	case LUA_TSTRING:
		if (!is_text(L, index))
			return false;
		lua_pushvalue(L, index);
		return true;
	default:
		return push_made(L, index, how);
	}
}

/* Replaces the value at `index` by its text, and enters that as number `i`. */
static void take_parameter(lua_State *L, int index, const struct arrays *to, int i)
{
	struct parameter how = {0};
	size_t size = 0;
	to->values[i] = NULL;
	if (!is_null(L, index)) {
		if (!push_text(L, index, &how))
			refuse(L, index, i + 1);
		to->values[i] = lua_tolstring(L, -1, &size);
		lua_replace(L, index);
	}
	to->types[i] = how.type;
	to->lengths[i] = (int)size;
	to->formats[i] = how.binary;
}

static struct arrays push_arrays(lua_State *L, size_t count)
{
	size_t each = sizeof(char *) + sizeof(Oid) + 2 * sizeof(int);
	struct arrays a = {.values = lua_newuserdatauv(L, count * each, 0)};
	a.types = (Oid *)(a.values + count);
	a.lengths = (int *)(a.types + count);
	a.formats = a.lengths + count;
	return a;
}

void check_sql(lua_State *L, int sql)
{
	if (lua_type(L, sql) != LUA_TSTRING)
		misuse(L, "a statement is a string; string expected, got %s",
		       luaL_typename(L, sql));
	if (!is_text(L, sql))
		misuse(L, "the statement: PostgreSQL's texts hold no zero bytes");
}

struct exec_query take_query(lua_State *L, int sql)
{
	check_sql(L, sql);
	struct exec_query query = {.sql = lua_tostring(L, sql), .count = lua_gettop(L) - sql};
	if (query.count > MAX_PARAMETERS)
		misuse(L, "%d parameters; a statement takes %d at most", query.count,
		       MAX_PARAMETERS);
	if (query.count == 0) {
		query.count = -1; /* a simple query, which may be several statements */
		return query;
	}
	const struct arrays a = push_arrays(L, (size_t)query.count);
	for (int i = 0; i < query.count; i++)
		take_parameter(L, sql + 1 + i, &a, i);
	query.values = a.values;
	query.types = a.types;
	query.lengths = a.lengths;
	query.formats = a.formats;
	return query;
}

/* core.parameter(text, oid, binary) */
static int new_parameter(lua_State *L)
{
	luaL_checkstring(L, 1);
	struct parameter *p = lua_newuserdatauv(L, sizeof *p, 1);
	*p = (struct parameter){.type = (Oid)luaL_checkinteger(L, 2),
	                        .binary = lua_toboolean(L, 3)};
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, PARAMETER_HANDLE);
	return 1;
}

/* core.number_text(float) */
static int number_text(lua_State *L)
{
	push_number_text(L, luaL_checknumber(L, 1));
	return 1;
}

void open_parameters(lua_State *L)
{
	static const luaL_Reg none[] = {{NULL, NULL}};
	static const luaL_Reg functions[] = {
	        {"parameter", new_parameter}, {"number_text", number_text}, {NULL, NULL}};
	handle_class(L, PARAMETER_HANDLE, none, NULL);
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
