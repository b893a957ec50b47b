/* rows.c - see rows.h. Texts both ways: PostgreSQL infers the parameters' types. */
/* SPDX-License-Identifier: MIT */
#include "script/rows.h"

#include "script/misuse.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* src/include/catalog/pg_type.dat */
enum {
	TYPE_BOOL = 16,
	TYPE_INT8 = 20,
	TYPE_INT2 = 21,
	TYPE_INT4 = 23,
	TYPE_OID = 26,
	TYPE_FLOAT4 = 700,
	TYPE_FLOAT8 = 701
};

#define MAX_PARAMETERS 65535 /* protocol: an Int16, taken as unsigned */

/* The shortest text that means this number: 0.1 is "0.1", also in a column of type numeric. */
static void shortest_text(lua_Number value, char *text, size_t size)
{
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, size, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			return;
	}
}

static void push_float_text(lua_State *L, lua_Number value)
{
	char text[40];
	if (isnan(value))
		snprintf(text, sizeof text, "NaN");
	else if (isinf(value))
		snprintf(text, sizeof text, value > 0 ? "Infinity" : "-Infinity");
	else
		shortest_text(value, text, sizeof text);
	lua_pushstring(L, text);
}

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

/* Replaces the value at `index`, of parameter `number`, by its text; NULL for NULL. */
static const char *take_parameter(lua_State *L, int index, int number)
{
	if (is_null(L, index))
		return NULL;
	switch (lua_type(L, index)) {
	case LUA_TBOOLEAN:
		lua_pushstring(L, lua_toboolean(L, index) ? "t" : "f");
		break;
	case LUA_TNUMBER:
		if (lua_isinteger(L, index))
			lua_pushfstring(L, "%I", (LUAI_UACINT)lua_tointeger(L, index));
		else
			push_float_text(L, lua_tonumber(L, index));
		break;
	case LUA_TSTRING:
		if (!is_text(L, index))
			misuse(L,
			       "parameter %d: PostgreSQL's texts hold no zero bytes (a bytea is "
			       "written as \\x and hexadecimal digits)",
			       number);
		return lua_tostring(L, index);
	default:
		misuse(L, "parameter %d: nil, boolean, number or string expected, got %s", number,
		       luaL_typename(L, index));
	}
	lua_replace(L, index);
	return lua_tostring(L, index);
}

struct exec_query take_query(lua_State *L, int sql)
{
	if (lua_type(L, sql) != LUA_TSTRING)
		misuse(L, "a statement is a string; string expected, got %s",
		       luaL_typename(L, sql));
	if (!is_text(L, sql))
		misuse(L, "the statement: PostgreSQL's texts hold no zero bytes");
	struct exec_query query = {.sql = lua_tostring(L, sql), .count = lua_gettop(L) - sql};
	if (query.count > MAX_PARAMETERS)
		misuse(L, "%d parameters; a statement takes %d at most", query.count,
		       MAX_PARAMETERS);
	if (query.count == 0) {
		query.count = -1; /* a simple query, which may be several statements */
		return query;
	}
	const char **values = lua_newuserdatauv(L, (size_t)query.count * sizeof *values, 0);
	for (int i = 0; i < query.count; i++)
		values[i] = take_parameter(L, sql + 1 + i, i + 1);
	query.values = values;
	return query;
}

static void push_integer(lua_State *L, const char *text)
{
	lua_pushinteger(L, strtoll(text, NULL, 10));
}

static void push_value(lua_State *L, const PGresult *r, int row, int column)
{
	const char *text = PQgetvalue(r, row, column);
	switch (PQftype(r, column)) {
	case TYPE_BOOL:
		lua_pushboolean(L, *text == 't');
		break;
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
	case TYPE_OID:
		push_integer(L, text);
		break;
	case TYPE_FLOAT4:
	case TYPE_FLOAT8:
		lua_pushnumber(L, strtod(text, NULL));
		break;
	default:
		lua_pushlstring(L, text, (size_t)PQgetlength(r, row, column));
	}
}

/* The columns' names stand on the stack from `names` on. */
static void push_row(lua_State *L, const PGresult *r, int row, int names, bool null_as_nil)
{
	int columns = PQnfields(r);
	lua_createtable(L, 0, columns);
	for (int column = 0; column < columns; column++) {
		bool null = PQgetisnull(r, row, column);
		if (null && null_as_nil)
			continue;
		lua_pushvalue(L, names + column);
		if (null)
			lua_pushlightuserdata(L, NULL);
		else
			push_value(L, r, row, column);
		lua_rawset(L, -3);
	}
}

static void set_affected(lua_State *L, const PGresult *r)
{
	lua_pushinteger(L, strtoll(PQcmdTuples((PGresult *)r), NULL, 10));
	lua_setfield(L, -2, "affected_rows");
}

static void push_tuples(lua_State *L, const PGresult *r)
{
	lua_createtable(L, PQntuples(r), 0);
	if (strncmp(PQcmdStatus((PGresult *)r), "SELECT", 6) != 0 && *PQcmdTuples((PGresult *)r))
		set_affected(L, r); /* INSERT ... RETURNING and the like */
}

void push_rows(lua_State *L, const PGresult *r, bool null_as_nil)
{
	int columns = PQnfields(r), rows = PQntuples(r);
	if (PQresultStatus(r) != PGRES_TUPLES_OK) {
		lua_createtable(L, 0, 1);
		set_affected(L, r);
		return;
	}
	push_tuples(L, r);
	int table = lua_gettop(L);
	luaL_checkstack(L, columns + 4, "too many columns");
	for (int column = 0; column < columns; column++)
		lua_pushstring(L, PQfname(r, column));
	for (int row = 0; row < rows; row++) {
		push_row(L, r, row, table + 1, null_as_nil);
		lua_rawseti(L, table, (lua_Integer)row + 1);
	}
	lua_settop(L, table);
}
