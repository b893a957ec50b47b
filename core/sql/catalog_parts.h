/* catalog_parts.h - a catalog from inside, for who makes one. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_CATALOG_PARTS_H
#define MOONGATE_SQL_CATALOG_PARTS_H

#include "sql/catalog_names.h"

struct catalog {
	struct catalog_names names;
	uint8_t *traits; /* by number */
	size_t room;
	uint64_t content; /* equal for those that say the same */
	uint64_t turn;    /* how often it was changed before */
	size_t functions;
	bool asks; /* one of them has TRAIT_SEQUENCE */
};

/* An empty one; NULL: out of memory. */
struct catalog *catalog_new(void);

/* One more object. False: out of memory. */
bool catalog_add(struct catalog *c, enum catalog_kind kind, const char *schema, const char *name,
                 unsigned traits);

#endif
