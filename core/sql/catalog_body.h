/* catalog_body.h - what calling a function does, as far as its source tells. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_CATALOG_BODY_H
#define MOONGATE_SQL_CATALOG_BODY_H

#include "sql/catalog.h"

/* In doubt TRAIT_WRITES | TRAIT_HIDDEN. The traits of what it calls by `lookup`'s word are among
 * them; what is neither there nor PostgreSQL's own may do anything. */
unsigned body_traits_sql(const char *body, const struct catalog_lookup *lookup);
unsigned body_traits_plpgsql(const char *body, const struct catalog_lookup *lookup);

#endif
