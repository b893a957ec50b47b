/* answer.c - see answer.h. */
/* SPDX-License-Identifier: MIT */
#include "script/answer.h"

#include "script/misuse.h"

#include <stdlib.h>

static void add_methods(lua_State *L, lua_CFunction query, int first, int last)
{
	static const char *const names[] = {
	        [SHAPE_ROWS] = "query",     [SHAPE_ROW] = "one",     [SHAPE_VALUE] = "value",
	        [SHAPE_COUNT] = "exec",     [SHAPE_STREAM] = "rows", [SHAPE_COPY_OUT] = "copy_out",
	        [SHAPE_COPY_IN] = "copy_in"};
	for (int shape = first; shape <= last; shape++) {
		lua_pushinteger(L, (lua_Integer)shape);
		lua_pushcclosure(L, query, 1);
		lua_setfield(L, -2, names[shape]);
	}
}

void open_query_methods(lua_State *L, lua_CFunction query)
{
	add_methods(L, query, SHAPE_ROWS, SHAPE_COUNT);
}

void open_stream_methods(lua_State *L, lua_CFunction query)
{
	add_methods(L, query, SHAPE_STREAM, SHAPE_COPY_IN);
}

void open_rows_method(lua_State *L, lua_CFunction query)
{
	add_methods(L, query, SHAPE_STREAM, SHAPE_STREAM);
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

void set_fields(lua_State *L, said_fn *field, const void *said)
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
		set_text(L, texts[i].name, field(said, texts[i].field));
	set_integer(L, "position", field(said, PG_DIAG_STATEMENT_POSITION));
	set_integer(L, "internal_position", field(said, PG_DIAG_INTERNAL_POSITION));
	set_integer(L, "line", field(said, PG_DIAG_SOURCE_LINE));
}

static const char *error_field(const void *result, int field)
{
	return PQresultErrorField(result, field);
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
		set_fields(L, error_field, r);
	return 4;
}

enum shape answer_shape(lua_State *L)
{
	return (enum shape)lua_tointeger(L, lua_upvalueindex(1));
}

struct row_style push_style(lua_State *L, const struct cluster_handle *h,
                            const struct call_options *options)
{
	cluster_handle_push(L, h);
	if (lua_isuserdata(L, -1))
		lua_getiuservalue(L, -1, CLUSTER_DECODERS);
	return (struct row_style){
	        .types = lua_gettop(L), .null_as_nil = h->null_as_nil, .as_list = options->as_list};
}

void push_shaped(lua_State *L, const PGresult *result, enum shape shape,
                 const struct row_style *style)
{
	switch (shape) {
	case SHAPE_ROW:
		push_first_row(L, result, style);
		break;
	case SHAPE_VALUE:
		push_first_value(L, result, style);
		break;
	case SHAPE_COUNT:
		push_affected(L, result);
		break;
	default:
		push_rows(L, result, style);
	}
}

const char *answer_refuses(lua_State *L, const struct facts *facts)
{
	unsigned copies = facts->effects & (EFFECT_COPY_IN | EFFECT_COPY_OUT);
	switch (answer_shape(L)) {
	case SHAPE_COPY_IN:
		if (copies & EFFECT_COPY_IN || facts->kind == SQL_UNKNOWN)
			return NULL;
		return "copy_in() takes COPY ... FROM STDIN, and no other statement";
	case SHAPE_COPY_OUT:
		if (copies & EFFECT_COPY_OUT || facts->kind == SQL_UNKNOWN)
			return NULL;
		return "copy_out() takes COPY ... TO STDOUT, and no other statement";
	default:
		return copies ? OPERATION_COPIES : NULL;
	}
}

int raise_failure(lua_State *L)
{
	lua_createtable(L, 0, 4);
	lua_insert(L, -4);
	lua_setfield(L, -4, "fields");
	lua_setfield(L, -3, "code");
	lua_setfield(L, -2, "message");
	misuse_where(L);
	lua_setfield(L, -2, "where");
	luaL_setmetatable(L, ERROR_CLASS);
	return lua_error(L);
}

int answer_failure(lua_State *L)
{
	enum shape shape = answer_shape(L);
	return shape == SHAPE_STREAM || shape == SHAPE_COPY_OUT ? raise_failure(L) : 4;
}

int push_answer(lua_State *L, const struct operation *op, const struct cluster_handle *h,
                const struct call_options *options)
{
	if (*op->sqlstate)
		return push_failure(L, op->message, op->sqlstate, op->result);
	const struct row_style style = push_style(L, h, options);
	push_shaped(L, op->result, answer_shape(L), &style);
	return 1;
}

void open_answer(lua_State *L)
{
	luaL_newmetatable(L, ERROR_CLASS);
	lua_setfield(L, -2, "error_metatable");
}
