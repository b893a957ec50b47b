/* catalog_names.h - a set of names by kind and schema, numbered from 0 in the order they came. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_CATALOG_NAMES_H
#define MOONGATE_SQL_CATALOG_NAMES_H

#include "sql/catalog.h"

#define CATALOG_NONE UINT32_MAX

/* Zero is empty. */
struct catalog_names {
	char *bytes; /* keys, one behind the other */
	size_t byte_count, byte_room;
	uint32_t *ends; /* of each key */
	size_t count, room;
	uint32_t *slots; /* by hash: number + 1, 0: free; a power of two, at most half full */
	size_t mask;
};

/* CATALOG_NONE: it is not there. `schema` NULL is the name without one. */
uint32_t catalog_names_find(const struct catalog_names *n, enum catalog_kind kind,
                            const char *schema, const char *name);

/* The same, added where it is missing. CATALOG_NONE: out of memory, or too long a name. */
uint32_t catalog_names_add(struct catalog_names *n, enum catalog_kind kind, const char *schema,
                           const char *name);

enum catalog_kind catalog_names_kind(const struct catalog_names *n, uint32_t number);
/* NULL: without one. */
const char *catalog_names_schema(const struct catalog_names *n, uint32_t number);
const char *catalog_names_name(const struct catalog_names *n, uint32_t number);

/* The same for equal names in every process. */
uint64_t catalog_names_hash(const struct catalog_names *n, uint32_t number, uint64_t seed);

void catalog_names_free(struct catalog_names *n);

#endif
