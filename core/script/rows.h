/* rows.h - Lua values to parameters, PostgreSQL's results to rows. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_ROWS_H
#define MOONGATE_SCRIPT_ROWS_H

#include "cluster/exec.h"

#include <lua.h>
#include <stdbool.h>

/* The statement at `sql` and the parameters from `sql` + 1 to the top. Replaces them by their texts
 * and pushes what keeps the array. Raises on a value that cannot be one. */
struct exec_query take_query(lua_State *L, int sql);

/* Pushes an array of tables by column name, or { affected_rows = n }. */
void push_rows(lua_State *L, const PGresult *result, bool null_as_nil);

#endif
