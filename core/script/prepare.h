/* prepare.h - prepared statements as objects: what cluster:prepare(sql) and the like return.
 *
 * Such an object is a text and where it is asked; that each server prepares it once is prepared.h's
 * business. So it is a query method like any other, with two arguments that are known. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_PREPARE_H
#define MOONGATE_SCRIPT_PREPARE_H

#include "cluster/exec.h"

#include <lua.h>

#define CLUSTER_STATEMENT    "moongate.statement"
#define CONNECTION_STATEMENT "moongate.connection_statement"

/* core.stands_for(table, statement): it does so wherever prepared_replace() meets it. */
void open_prepare(lua_State *L);

/* Makes the class, whose query, one, value, exec and rows are `query`, and adds its table of
 * methods as core[methods] to the table at `core`. */
void open_prepared(lua_State *L, int core, const char *class, const char *methods,
                   lua_CFunction query);

/* owner:prepare(sql): the owner stands at 1, and is checked. */
int prepare_statement(lua_State *L, const char *class);

/* In such a query method: replaces the object at 1 by its owner and its SQL, at 1 and 2. Raises
 * where it is none. Returns what take_prepared() wants. */
uint64_t prepared_unfold(lua_State *L, const char *class);

/* Any such object at `index` is replaced by its SQL, of which the hash is returned; 0: it is none.
 */
uint64_t prepared_replace(lua_State *L, int index);

/* take_query(), then. */
struct exec_query take_prepared(lua_State *L, int sql, uint64_t hash);

#endif
