/* quota.h - may one more server be opened, and who goes first where limits are shared. Pure.
 *
 * A quota counts the open servers of all pools that one limit holds for: those of an endpoint, of
 * a database, of a user. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_QUOTA_H
#define MOONGATE_CLUSTER_QUOTA_H

#include <stdbool.h>

struct quota {
	unsigned limit; /* 0: none */
	unsigned used;  /* servers opening, idle and lent */
	unsigned idle;  /* of these: could be closed to make room */
};

static inline bool quota_full(const struct quota *q)
{
	return q->limit && q->used >= q->limit;
}

/* A pool's case for a server, against another pool under the same limit. */
struct claim {
	double since; /* when the borrower that has waited longest came; INFINITY: nobody waits */
	unsigned servers; /* that the pool has */
};

/* Whether a server that has come back to `holder` is to be closed, so that `other` may open one.
 * Who has waited longer goes first; but changing pools costs a new connection, so `other` must be
 * ahead by some seconds: by a slice, in which `holder` may serve its own, if it would have one
 * server instead of none, or servers would be shared more evenly; else by a lot. */
#define QUOTA_SLICE    0.02
#define QUOTA_PATIENCE 1.0
bool quota_yields(const struct claim *holder, const struct claim *other);

/* How many servers a pool may have whose first borrower has waited for `waited` seconds. */
struct pool_config;
unsigned quota_size(const struct pool_config *config, unsigned size, double waited);

/* How long a server may live; INFINITY: for ever. `chance` is in [0, 1): servers that were opened
 * together do not end together. */
double quota_lifetime(const struct pool_config *config, double chance);

/* Quotas by name, each kept as long as a pool has joined it. */
struct quotas;
struct quotas *quotas_new(unsigned limit); /* of each; NULL: out of memory */
void quotas_free(struct quotas *quotas);   /* NULL is fine */
struct quota *quotas_join(struct quotas *quotas, const char *name); /* NULL: out of memory */
void quotas_leave(struct quotas *quotas, struct quota *quota);      /* NULL is fine */

/* What quotas_join() was told. */
const char *quota_name(const struct quota *quota);

#endif
