/* catalog_builder.h - from what a database's catalog holds to a snapshot, in small steps.
 *
 *   add, add, ... --> step, step, ... until it is done --> finish
 *
 * Objects come in any order, with what they call. Then the bodies of functions that may write are
 * read, one a step: those that provably only read are promoted. Then traits pass from what is
 * called to what calls it, however many steps lie between. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_CATALOG_BUILDER_H
#define MOONGATE_SQL_CATALOG_BUILDER_H

#include "sql/catalog.h"

#define CATALOG_ROWS 250000 /* at most: a larger catalog is not kept at all */

struct catalog_builder;

/* What operators say of functions, by name ("f": in any schema) or "schema.name". */
struct catalog_overrides {
	const char *const *reads, *const *writes;
	size_t read_count, write_count;
};

/* An object's property, or one thing that it calls. Strings may be NULL where nothing is said.
 *
 * kind and called_kind: 'f' function, 'r' relation, 'w' the same as it is written, 'o' operator,
 * 't' type, 'd' domain. flags, of functions: provolatile, then where the code stands: 'S' SQL and
 * 'P' PL/pgSQL, in `body` ('S' and 'P' without one: too long to be looked at); 'A' in the catalog,
 * which tells what it calls; any other letter: who knows. 'U' t.f may call it. Of operators: 'B'
 * PostgreSQL has one of this name. Of all: 'W' writes, 'H' hidden effects, 'N' tells of the node.
 */
struct catalog_row {
	char kind, called_kind; /* called_kind '\0': the row is about the object itself */
	const char *schema, *name, *flags, *body;
	const char *called_schema, *called_name;
};

/* NULL: out of memory. `overrides` and all bodies must stay until catalog_builder_free(). */
struct catalog_builder *catalog_builder_new(const struct catalog_overrides *overrides);
void catalog_builder_free(struct catalog_builder *b); /* NULL is fine */

/* False: out of memory, or more than CATALOG_ROWS. What it was given of this kind, it passes over
 * where it does not know the kind. */
bool catalog_builder_add(struct catalog_builder *b, const struct catalog_row *row);

/* One step: less than 2 ms. True: there is more to do. */
bool catalog_builder_step(struct catalog_builder *b);

/* After the last step. The caller's to free. NULL: out of memory. */
struct catalog *catalog_builder_finish(struct catalog_builder *b);

/* All of it at once: for few rows, or none. NULL: out of memory. */
struct catalog *catalog_of_overrides(const struct catalog_overrides *overrides);

#endif
