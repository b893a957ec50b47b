/* rows.c - see rows.h. */
/* SPDX-License-Identifier: MIT */
#include "script/rows.h"

#include "script/binary.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

static struct decoder decoder_of(lua_State *L, const struct row_style *style, const PGresult *r,
                                 int column)
{
	Oid type = PQftype(r, column);
	if (PQfformat(r, column))
		return (struct decoder){.push = binary_push(type)};
	return type_decoder(L, style->types, type);
}

struct row_plan plan_rows(lua_State *L, const PGresult *r, const struct row_style *style,
                          int columns)
{
	struct row_plan plan = {
	        .columns = columns, .null_as_nil = style->null_as_nil, .as_list = style->as_list};
	luaL_checkstack(L, 2 * columns + 8, "too many columns");
	struct decoder *decoders = lua_newuserdatauv(L, (size_t)columns * sizeof *decoders + 1, 0);
	for (int column = 0; column < columns; column++) {
		decoders[column] = decoder_of(L, style, r, column);
		plan.calls |= decoders[column].function > 0;
	}
	plan.decoders = decoders;
	plan.names = lua_gettop(L) + 1;
	for (int column = 0; column < columns && !plan.as_list; column++)
		lua_pushstring(L, PQfname(r, column));
	return plan;
}

/* NULL is nil here: whoever pushes it into a table leaves it out. */
static void push_value(lua_State *L, const struct row_plan *p, const PGresult *r, int row,
                       int column)
{
	if (!PQgetisnull(r, row, column))
		push_decoded(L, &p->decoders[column], PQgetvalue(r, row, column),
		             (size_t)PQgetlength(r, row, column));
	else if (p->null_as_nil)
		lua_pushnil(L);
	else
		lua_pushlightuserdata(L, NULL);
}

static void push_list(lua_State *L, const struct row_plan *p, const PGresult *r, int row)
{
	lua_createtable(L, p->columns, 0);
	for (int column = 0; column < p->columns; column++) {
		push_value(L, p, r, row, column);
		lua_rawseti(L, -2, (lua_Integer)column + 1);
	}
}

void push_row(lua_State *L, const struct row_plan *p, const PGresult *r, int row)
{
	if (p->as_list) {
		push_list(L, p, r, row);
		return;
	}
	lua_createtable(L, 0, p->columns);
	for (int column = 0; column < p->columns; column++) {
		if (p->null_as_nil && PQgetisnull(r, row, column))
			continue;
		lua_pushvalue(L, p->names + column);
		push_value(L, p, r, row, column);
		lua_rawset(L, -3);
	}
}

static void push_texts(lua_State *L, const PGresult *r, int row, int columns)
{
	luaL_checkstack(L, columns + 8, "too many columns");
	for (int column = 0; column < columns; column++)
		if (PQgetisnull(r, row, column))
			lua_pushnil(L);
		else
			lua_pushlstring(L, PQgetvalue(r, row, column),
			                (size_t)PQgetlength(r, row, column));
}

/* Sets the value of the column in the row at `table`; its text stands at `text`, or nil. */
static void set_apart(lua_State *L, const struct row_plan *p, int column, int text, int table)
{
	size_t size;
	const char *bytes = lua_tolstring(L, text, &size);
	if (!bytes && p->null_as_nil)
		return;
	if (bytes)
		push_decoded(L, &p->decoders[column], bytes, size);
	else
		lua_pushlightuserdata(L, NULL);
	if (p->as_list) {
		lua_rawseti(L, table, (lua_Integer)column + 1);
		return;
	}
	lua_pushvalue(L, p->names + column);
	lua_insert(L, -2);
	lua_rawset(L, table);
}

void push_row_apart(lua_State *L, const struct row_plan *p, const PGresult *r, int row)
{
	int texts = lua_gettop(L) + 1, table = texts + p->columns;
	push_texts(L, r, row, p->columns);
	lua_createtable(L, p->as_list ? p->columns : 0, p->as_list ? 0 : p->columns);
	for (int column = 0; column < p->columns; column++)
		set_apart(L, p, column, texts + column, table);
	lua_replace(L, texts);
	lua_settop(L, texts);
}

void push_affected(lua_State *L, const PGresult *r)
{
	lua_pushinteger(L, strtoll(PQcmdTuples((PGresult *)r), NULL, 10));
}

static void set_affected(lua_State *L, const PGresult *r)
{
	push_affected(L, r);
	lua_setfield(L, -2, "affected_rows");
}

static void push_tuples(lua_State *L, const PGresult *r)
{
	lua_createtable(L, PQntuples(r), 0);
	if (strncmp(PQcmdStatus((PGresult *)r), "SELECT", 6) != 0 && *PQcmdTuples((PGresult *)r))
		set_affected(L, r); /* INSERT ... RETURNING and the like */
}

void set_columns(lua_State *L, const PGresult *r)
{
	int columns = PQnfields(r);
	lua_createtable(L, columns, 0);
	lua_createtable(L, columns, 0);
	for (int column = 0; column < columns; column++) {
		lua_pushstring(L, PQfname(r, column));
		lua_rawseti(L, -3, (lua_Integer)column + 1);
		lua_pushinteger(L, (lua_Integer)PQftype(r, column));
		lua_rawseti(L, -2, (lua_Integer)column + 1);
	}
	lua_setfield(L, -3, "types");
	lua_setfield(L, -2, "columns");
}

void push_rows(lua_State *L, const PGresult *r, const struct row_style *style)
{
	if (PQresultStatus(r) != PGRES_TUPLES_OK) {
		lua_createtable(L, 0, 1);
		set_affected(L, r);
		return;
	}
	push_tuples(L, r);
	int table = lua_gettop(L), rows = PQntuples(r);
	const struct row_plan plan = plan_rows(L, r, style, PQnfields(r));
	for (int row = 0; row < rows; row++) {
		push_row(L, &plan, r, row);
		lua_rawseti(L, table, (lua_Integer)row + 1);
	}
	lua_settop(L, table);
	if (style->as_list)
		set_columns(L, r);
}

void push_first_row(lua_State *L, const PGresult *r, const struct row_style *style)
{
	if (PQntuples(r) == 0) {
		lua_pushnil(L);
		return;
	}
	const struct row_plan plan = plan_rows(L, r, style, PQnfields(r));
	push_row(L, &plan, r, 0);
	if (style->as_list)
		set_columns(L, r);
}

void push_first_value(lua_State *L, const PGresult *r, const struct row_style *style)
{
	if (PQntuples(r) == 0 || PQnfields(r) == 0) {
		lua_pushnil(L);
		return;
	}
	const struct row_plan plan = plan_rows(L, r, style, 1);
	push_value(L, &plan, r, 0, 0);
}
