/* answer.h - what a query method returns: one function for query, one, value and exec, of clusters
 * as of connections; and for failures of all kinds. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_ANSWER_H
#define MOONGATE_SCRIPT_ANSWER_H

#include "script/call_options.h"
#include "script/handles.h"
#include "script/operation.h"
#include "script/rows.h"

#define ERROR_CLASS "moongate.error"

/* What the method that runs is to return. The first four are of results that have come as a whole.
 */
enum shape {
	SHAPE_ROWS,
	SHAPE_ROW,
	SHAPE_VALUE,
	SHAPE_COUNT,
	SHAPE_STREAM,
	SHAPE_COPY_OUT,
	SHAPE_COPY_IN
};

/* Sets query, one, value and exec in the table on top: `query` for each of them, with an upvalue
 * that tells push_answer() which. */
void open_query_methods(lua_State *L, lua_CFunction query);

/* The same with rows, copy_out and copy_in: flow_handle.h; and with rows alone. */
void open_stream_methods(lua_State *L, lua_CFunction query);
void open_rows_method(lua_State *L, lua_CFunction query);

/* Why the method that runs is none for this statement; NULL: it is. Says so before anything is
 * sent. */
const char *answer_refuses(lua_State *L, const struct facts *facts);

/* For one of these: pushes what it returns once the operation is done; how many values. */
int push_answer(lua_State *L, const struct operation *op, const struct cluster_handle *h,
                const struct call_options *options);

/* Its parts: which of them this method is; how the cluster's results are decoded for a call, which
 * pushes what the style refers to; a result in a shape. */
enum shape answer_shape(lua_State *L);
struct row_style push_style(lua_State *L, const struct cluster_handle *h,
                            const struct call_options *options);
void push_shaped(lua_State *L, const PGresult *result, enum shape shape,
                 const struct row_style *style);

/* Sets in the table on top what PostgreSQL has said, but for the SQLSTATE, in an error or a notice;
 * `field` is as PQresultErrorField() for it. */
typedef const char *said_fn(const void *said, int field);
void set_fields(lua_State *L, said_fn *field, const void *said);

/* Pushes nil, message, code and a table of fields; 4. `result`: PostgreSQL's own error, or NULL,
 * where the fields are message and sqlstate alone. */
int push_failure(lua_State *L, const char *message, const char *sqlstate, const PGresult *result);

/* Raises the four on top as one object, as assert_query() does. */
int raise_failure(lua_State *L);

/* The same where the method that runs raises failures; else they are what it returns: 4. */
int answer_failure(lua_State *L);

/* Adds core.error_metatable, which lua/moongate/queries.lua fills, to the table on top. */
void open_answer(lua_State *L);

#endif
