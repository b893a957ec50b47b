/* parameters.h - Lua values to a statement's parameters.
 *
 * nil, NULL and strings leave it to PostgreSQL to infer the type; true and false are bool; a number
 * has the type that it has when it is written into the SQL: int4, int8 or numeric, so that
 * functions are found, indexes used and amounts added as ever (with a float8, numeric + $1 would be
 * computed in floating point); what numeric does not have is float8. What moongate.array(), json()
 * and bytea() make are parameters already. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_PARAMETERS_H
#define MOONGATE_SCRIPT_PARAMETERS_H

#include "cluster/exec.h"

#include <lua.h>

/* The statement at `sql` and the parameters from `sql` + 1 to the top. Replaces them by their texts
 * and pushes what keeps the arrays. Raises on a value that cannot be one, in the caller's line. */
struct exec_query take_query(lua_State *L, int sql);

/* Raises where the value at `sql` is no text of a statement's. */
void check_sql(lua_State *L, int sql);

/* Where the value at `index` is what moongate.array() and the like make: pushes its text, or bytes,
 * and says which. False: it is none. */
bool push_made_parameter(lua_State *L, int index, bool *binary);

/* Adds core.parameter(text, oid, binary) and core.number_text(number) to the table on top. */
void open_parameters(lua_State *L);

#endif
