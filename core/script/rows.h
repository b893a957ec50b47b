/* rows.h - PostgreSQL's results to rows. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_ROWS_H
#define MOONGATE_SCRIPT_ROWS_H

#include <libpq-fe.h>
#include <lua.h>
#include <stdbool.h>

struct decoder;

/* What is made of a result; `types` is as for type_decoder(). */
struct row_style {
	int types;
	bool null_as_nil; /* rows leave NULL out, instead of moongate.NULL */
	bool as_list;     /* rows are lists, and what holds them tells the columns */
};

/* What rows are made with: found once for a result. */
struct row_plan {
	const struct decoder *decoders; /* a userdata's */
	int columns;
	int names; /* the columns' names stand on the stack from here on */
	bool null_as_nil, as_list;
	bool calls; /* functions of the application's */
};

/* Pushes what it refers to. It is good for all results of these columns, while those values are
 * where they are on the stack, or there again. */
struct row_plan plan_rows(lua_State *L, const PGresult *result, const struct row_style *style,
                          int columns);

/* Pushes a table by column name, or a list. */
void push_row(lua_State *L, const struct row_plan *plan, const PGresult *result, int row);

/* The same, whatever the functions that it calls do: the result may be gone as it returns. */
void push_row_apart(lua_State *L, const struct row_plan *plan, const PGresult *result, int row);

/* Pushes an array of rows, or { affected_rows = n }. */
void push_rows(lua_State *L, const PGresult *result, const struct row_style *style);

/* Sets `columns` and `types`, their names and OIDs, in the table on top. */
void set_columns(lua_State *L, const PGresult *result);

/* Pushes the first row, or nil where there is none. */
void push_first_row(lua_State *L, const PGresult *result, const struct row_style *style);

/* Pushes the first column of the first row, or nil. */
void push_first_value(lua_State *L, const PGresult *result, const struct row_style *style);

/* Pushes how many rows were changed; of a query, returned. */
void push_affected(lua_State *L, const PGresult *result);

#endif
