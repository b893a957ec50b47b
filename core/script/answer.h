/* answer.h - what a query method returns: one function for query, one, value and exec, of clusters
 * as of connections; and for failures of all kinds. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_ANSWER_H
#define MOONGATE_SCRIPT_ANSWER_H

#include "script/handles.h"
#include "script/operation.h"
#include "script/rows.h"

enum shape { SHAPE_ROWS, SHAPE_ROW, SHAPE_VALUE, SHAPE_COUNT };

/* Sets query, one, value and exec in the table on top: `query` for each of them, with an upvalue
 * that tells push_answer() which. */
void open_query_methods(lua_State *L, lua_CFunction query);

/* For one of these: pushes what it returns once the operation is done; how many values. */
int push_answer(lua_State *L, const struct operation *op, const struct cluster_handle *h);

/* Its parts: which of them this method is; how the cluster's results are decoded, which pushes what
 * the style refers to; a result in a shape. */
enum shape answer_shape(lua_State *L);
struct row_style push_style(lua_State *L, const struct cluster_handle *h);
void push_shaped(lua_State *L, const PGresult *result, enum shape shape,
                 const struct row_style *style);

/* Pushes nil, message, code and a table of fields; 4. `result`: PostgreSQL's own error, or NULL,
 * where the fields are message and sqlstate alone. */
int push_failure(lua_State *L, const char *message, const char *sqlstate, const PGresult *result);

#endif
