/* catalog.h - what one database's catalog says of names that a statement uses: which functions may
 * write, and with them views, tables, operators, types.
 *
 * A catalog is an immutable snapshot, made by catalog_builder.h. All that is kept of an object is
 * its *traits*: the worst of all overloads, and of all objects in whichever schema that a name
 * without one may mean, with what those call in their turn. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_CATALOG_H
#define MOONGATE_SQL_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum catalog_kind {
	CATALOG_FUNCTION,
	CATALOG_RELATION, /* as it is read */
	CATALOG_WRITTEN,  /* the same, as it is written: defaults, triggers, rules */
	CATALOG_OPERATOR,
	CATALOG_TYPE,   /* as a cast's target */
	CATALOG_FIELD,  /* functions that t.f may call; without a schema */
	CATALOG_DOMAIN, /* its checks: not looked up, but part of its CATALOG_TYPE */
	CATALOG_KINDS
};

/* None of them: it only reads, says the same on every node, and leaves nothing behind. */
enum catalog_trait {
	TRAIT_WRITES = 1u << 0,   /* it may write, or a standby refuses it */
	TRAIT_NODE = 1u << 1,     /* it tells of the node that it runs on, or of the session */
	TRAIT_HIDDEN = 1u << 2,   /* it may leave in the session what the server can be asked for */
	TRAIT_SESSION = 1u << 3,  /* and what it cannot */
	TRAIT_SEQUENCE = 1u << 4, /* it asks for currval() or lastval() */
	TRAIT_FIXED = 1u << 5,    /* the operator says so, whatever else is known */
	TRAIT_UNKNOWN = 1u << 6,  /* there is no such function, or operator */
};

/* Who knows traits: a catalog, or what is becoming one. `schema` is NULL where the text has none.
 * What is no function, and no operator with a schema, is harmless unless listed. */
struct catalog_lookup {
	unsigned (*look)(void *arg, enum catalog_kind kind, const char *schema, const char *name);
	void *arg;
};

static inline unsigned catalog_look(const struct catalog_lookup *l, enum catalog_kind kind,
                                    const char *schema, const char *name)
{
	return l->look(l->arg, kind, schema, name);
}

struct catalog;

/* NULL is fine: a catalog that knows nothing. */
struct catalog_lookup catalog_lookup(const struct catalog *catalog);

/* What was said of a statement by one holds by another of this version. Equal for catalogs that say
 * the same, hence for two databases; see also catalog_follows(). 0 is that of NULL. */
uint64_t catalog_version(const struct catalog *catalog);

/* It takes the place of `before` (NULL: of none), as something has changed. Its version is the same
 * if it says the same all the same, and no server has `taught` us better meanwhile; else it is none
 * that any before it had: what was learned is forgotten. */
void catalog_follows(struct catalog *catalog, const struct catalog *before, bool taught);

/* Whether any object of it has TRAIT_SEQUENCE. NULL is fine. */
bool catalog_asks(const struct catalog *catalog);

struct catalog_size {
	size_t functions; /* that it knows, by name */
	size_t others;    /* relations, operators and types that are not harmless */
	size_t bytes;
};
struct catalog_size catalog_size(const struct catalog *catalog);

void catalog_free(struct catalog *catalog); /* NULL is fine */

#endif
