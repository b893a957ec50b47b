/* answer.c - see answer.h. */
/* SPDX-License-Identifier: MIT */
#include "script/answer.h"

#include <stdlib.h>

void open_query_methods(lua_State *L, lua_CFunction query)
{
	static const char *const names[] = {[SHAPE_ROWS] = "query",
	                                    [SHAPE_ROW] = "one",
	                                    [SHAPE_VALUE] = "value",
	                                    [SHAPE_COUNT] = "exec"};
	for (size_t shape = 0; shape < COUNT(names); shape++) {
		lua_pushinteger(L, (lua_Integer)shape);
		lua_pushcclosure(L, query, 1);
		lua_setfield(L, -2, names[shape]);
	}
}

static void set_text(lua_State *L, const char *name, const char *value)
{
	if (!value)
		return;
	lua_pushstring(L, value);
	lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, const char *value)
{
	if (!value)
		return;
	lua_pushinteger(L, strtoll(value, NULL, 10));
	lua_setfield(L, -2, name);
}

static void set_fields(lua_State *L, const PGresult *r)
{
	static const struct {
		const char *name;
		int field;
	} texts[] = {{"message", PG_DIAG_MESSAGE_PRIMARY}, /* all of its lines */
	             {"severity", PG_DIAG_SEVERITY_NONLOCALIZED},
	             {"detail", PG_DIAG_MESSAGE_DETAIL},
	             {"hint", PG_DIAG_MESSAGE_HINT},
	             {"internal_query", PG_DIAG_INTERNAL_QUERY},
	             {"context", PG_DIAG_CONTEXT},
	             {"schema", PG_DIAG_SCHEMA_NAME},
	             {"table", PG_DIAG_TABLE_NAME},
	             {"column", PG_DIAG_COLUMN_NAME},
	             {"datatype", PG_DIAG_DATATYPE_NAME},
	             {"constraint", PG_DIAG_CONSTRAINT_NAME},
	             {"file", PG_DIAG_SOURCE_FILE},
	             {"routine", PG_DIAG_SOURCE_FUNCTION}};
	for (size_t i = 0; i < COUNT(texts); i++)
		set_text(L, texts[i].name, PQresultErrorField(r, texts[i].field));
	set_integer(L, "position", PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION));
	set_integer(L, "internal_position", PQresultErrorField(r, PG_DIAG_INTERNAL_POSITION));
	set_integer(L, "line", PQresultErrorField(r, PG_DIAG_SOURCE_LINE));
}

int push_failure(lua_State *L, const char *message, const char *sqlstate, const PGresult *r)
{
	lua_pushnil(L);
	lua_pushstring(L, message);
	lua_pushstring(L, sqlstate);
	lua_createtable(L, 0, r ? 12 : 2);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "message");
	lua_pushvalue(L, -2);
	lua_setfield(L, -2, "sqlstate");
	if (r && PQresultStatus(r) == PGRES_FATAL_ERROR)
		set_fields(L, r);
	return 4;
}

enum shape answer_shape(lua_State *L)
{
	return (enum shape)lua_tointeger(L, lua_upvalueindex(1));
}

struct row_style push_style(lua_State *L, const struct cluster_handle *h)
{
	cluster_handle_push(L, h);
	if (lua_isuserdata(L, -1))
		lua_getiuservalue(L, -1, CLUSTER_DECODERS);
	return (struct row_style){.types = lua_gettop(L), .null_as_nil = h->null_as_nil};
}

void push_shaped(lua_State *L, const PGresult *result, enum shape shape,
                 const struct row_style *style)
{
	switch (shape) {
	case SHAPE_ROWS:
		push_rows(L, result, style);
		break;
	case SHAPE_ROW:
		push_first_row(L, result, style);
		break;
	case SHAPE_VALUE:
		push_first_value(L, result, style);
		break;
	case SHAPE_COUNT:
		push_affected(L, result);
		break;
	}
}

int push_answer(lua_State *L, const struct operation *op, const struct cluster_handle *h)
{
	if (*op->sqlstate)
		return push_failure(L, op->message, op->sqlstate, op->result);
	const struct row_style style = push_style(L, h);
	push_shaped(L, op->result, answer_shape(L), &style);
	return 1;
}
