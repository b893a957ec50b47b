/* scopes.h - whose writes a read must see, where that is more than its own session's. Pure.
 *
 * Who writes notes it for all scopes that any route of the cluster uses; who reads asks for one. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_SCOPES_H
#define MOONGATE_CLUSTER_SCOPES_H

#include "cluster/need.h"
#include "sql/facts.h"

#include <stdbool.h>
#include <stdint.h>

struct writes;

#define SCOPES_KEYS 4096 /* moments that are kept per cluster */

/* Tables that statements name, as hashes. */
#define TABLES_MAX 32
struct tables {
	unsigned count;
	bool any; /* and others, which the texts do not tell */
	uint64_t keys[TABLES_MAX];
};

/* Adds those of a statement. Whether the schema is named or not is left out of account: a name
 * stands for all tables that are called so. What a text does not show (functions, DO, DDL ...)
 * is `any`. */
void tables_add(struct tables *t, const struct facts *facts);
void tables_merge(struct tables *t, const struct tables *more);

/* A key that a policy gave; never 0. */
uint64_t scope_key(const char *text, size_t size);

/* Who writes or reads. */
struct party {
	const char *user, *database;
	uint64_t key;                /* 0: none */
	const struct tables *tables; /* NULL: any */
};

/* A write was seen done. `scopes`: bits 1 << enum scope. */
void scopes_note(struct writes *w, unsigned scopes, const struct party *who, double now);

/* The last write that counts in this scope; not for SCOPE_SESSION. */
double scopes_last(const struct writes *w, enum scope scope, const struct party *who);

#endif
