/* catalog_known.h - what is known by name (known.h) and what a catalog says, in one. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_CATALOG_KNOWN_H
#define MOONGATE_SQL_CATALOG_KNOWN_H

#include "sql/catalog.h"
#include "sql/known.h"

/* What a call by this name amounts to: the worst of PostgreSQL's own functions and of the user's
 * that it may mean. */
struct known_function catalog_function(const struct catalog_lookup *lookup, const char *schema,
                                       const char *name);

/* From traits, and back. `reason` is given where they are such that a replica will not do. */
struct known_function known_of_traits(unsigned traits, const char *reason);
unsigned traits_of_known(const struct known_function *known);

#endif
