/* catalogs.h - what a cluster's databases say of names (sql/catalog.h), kept up to date in the
 * background.
 *
 *              due                 connected            it has changed         all read
 *   AT REST ─────────▶ CONNECTING ───────────▶ ASKING ──────────────▶ READING ──────────▶ BUILDING
 *      ▲                    │ refused, lost, late │ │ the same as before  │                   │
 *      └────────────────────┴─────────────────────┴─┴─────────────────────┴───────────────────┘
 *
 * A *source* is one database's. Nobody waits for it: until the first snapshot is there it knows
 * what the operator has said of functions, and no more. It is looked at again when `catalog_age`
 * has passed, and soon after a statement has changed it that was seen; first it is asked whether
 * anything has changed at all. Each look has a connection of its own, of no pool: to the primary,
 * for a replica may be behind, else to any endpoint that is up. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_CATALOGS_H
#define MOONGATE_CLUSTER_CATALOGS_H

#include "sql/catalog_builder.h"

struct cluster;
struct catalogs;

/* One database's; the fields are for reading. */
struct catalog_source {
	const struct catalog *catalog; /* may be another whenever the loop has turned; NULL:
	                                  nothing is known */
	bool behind; /* it lacks a change that was seen, or all: until a look has ended */
	bool asks;   /* something in it asks for currval() or lastval(), or some text has */
};

struct catalogs_config {
	double age; /* s after which a catalog is looked at again; 0: none is read */
	struct catalog_overrides functions;
};

#define CATALOGS_DEFAULTS ((struct catalogs_config){.age = 60})

struct catalogs_stats {
	uint64_t looked, read, failed; /* how often */
	unsigned known;                /* databases whose catalog is known now */
};

/* Copies `config`. NULL: out of memory. */
struct catalogs *catalogs_new(struct cluster *cluster, const struct catalogs_config *config);

/* NULL is fine. Sources that are still held stay as they are. */
void catalogs_free(struct catalogs *catalogs);

/* The source for a database, as this user sees it; either may be NULL, see server_open(). The
 * caller's to give back. NULL: out of memory. */
struct catalog_source *catalogs_join(struct catalogs *catalogs, const char *user,
                                     const char *database);
void catalogs_leave(struct catalog_source *source); /* NULL is fine */

/* It is of use from now on: read at the next turn of the loop, if it has never been. NULL is
 * fine. */
void catalogs_want(struct catalog_source *source);

/* A statement has changed it, perhaps. NULL is fine. */
void catalogs_stale(struct catalog_source *source);

/* A statement has asked for currval() or lastval(). NULL is fine. */
void catalogs_asks(struct catalog_source *source);

/* A replica has shown that something is a write after all: remembered until it changes. NULL is
 * fine.
 */
void catalogs_taught(struct catalog_source *source);

/* What is known without any database: what the operator says; NULL: nothing. */
const struct catalog *catalogs_said(const struct catalogs *catalogs);

struct catalogs_stats catalogs_stats(const struct catalogs *catalogs);

#endif
