/* pool_state.h - a pool's inside, for the files that make it up:
 *
 *   pool.c          who has which server: lists, states, lending
 *   pool_limits.c   whether another server may be opened, and for whom
 *   pool_keep.c     what becomes of servers that nobody needs for now
 *
 * Nothing here calls a borrower, except pool_offer(). */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_POOL_STATE_H
#define MOONGATE_CLUSTER_POOL_STATE_H

#include "cluster/cluster.h"
#include "cluster/pool.h"

#include <uthash.h>

enum pool_limit { LIMIT_ENDPOINT, LIMIT_DATABASE, LIMIT_USER, POOL_LIMITS };

struct pool {
	UT_hash_handle hh;
	struct endpoint *endpoint;
	struct list idle;    /* front: given back last, lent first; back: unused longest */
	struct list lent;    /* with their borrowers */
	struct list opening; /* for waiters, or to keep min_idle */
	struct list waiters; /* front: came first, served first; empty while a server is idle */
	unsigned idle_count, lent_count, opening_count, waiting_count;
	unsigned size; /* servers, without the reserve */
	struct quota *quotas[POOL_LIMITS];
	struct quota *next_quotas[POOL_LIMITS]; /* adopt.c: those of the cluster that it moves to */
	struct list blocked;                    /* in cluster->blocked */
	ev_timer reserve; /* runs while waiters may come to need the reserve */
	ev_timer keeper;  /* runs while pool_keep.c has something to come back for */
	double look_at;   /* when it comes; INFINITY: it does not */
	double refill_at; /* before then no server is opened to keep min_idle */
	struct pool_stats totals;
	bool closing;
	const char *user, *database; /* in key; NULL where the borrower gave none */
	size_t key_size;
	char key[]; /* user and database, each with a mark of being there, and its NUL */
};

static inline struct cluster *pool_cluster(const struct pool *pool)
{
	return pool->endpoint->cluster;
}

static inline const struct pool_config *pool_config(const struct pool *pool)
{
	return &pool->endpoint->cluster->pool;
}

static inline struct context *pool_context(const struct pool *pool)
{
	return pool->endpoint->cluster->context;
}

static inline struct ev_loop *pool_loop(const struct pool *pool)
{
	return pool_context(pool)->loop;
}

static inline unsigned pool_servers(const struct pool *pool)
{
	return pool->idle_count + pool->lent_count + pool->opening_count;
}

static inline struct pool_waiter *pool_first_waiter(const struct pool *pool)
{
	return LIST_ENTRY(pool->waiters.next, struct pool_waiter, link);
}

/* pool.c */
bool pool_open(struct pool *pool); /* false: out of memory */
void pool_close(struct server *server);

/* `server` is open and nobody's: the first waiter gets it, another pool's gets its place, or it
 * rests. Calls out last. */
void pool_offer(struct pool *pool, struct server *server);
void pool_forget(struct pool *pool); /* frees it; it has neither servers nor waiters */

/* Servers of the pool were closed: who may open some now? */
void pool_after_close(struct pool *pool);

/* The first waiter, or all that wait now, are told: one that is told may come back at once, and may
 * be the end of the pool. */
void pool_fail_first(struct pool *pool, enum status status, const char *sqlstate,
                     const char *reason);
void pool_fail_waiters(struct pool *pool, enum status status, const char *sqlstate,
                       const char *reason);

/* Finds the pool's limits among those of `cluster`; false: out of memory. pool_leave() gives such
 * back and clears `quotas`, which may hold none. */
bool pool_join(struct pool *pool, struct cluster *cluster, struct quota *quotas[POOL_LIMITS]);
void pool_leave(struct cluster *cluster, struct quota *quotas[POOL_LIMITS]);

/* Its endpoint's cluster is another, or is configured otherwise. */
void pool_reconfigure(struct pool *pool);

/* pools.c */
#define POOL_DRAINED "the endpoint is drained: it takes no new work"

/* An endpoint that went down may have left connections behind that nobody answers on any more. */
bool pool_is_stale(const struct server *server);

/* Whether it may be lent another time. */
bool pool_may_rest(struct server *server);

/* pool_limits.c */

/* Opens servers for the waiters, as far as the limits go; idle servers of other pools make room. */
void pool_open_for_waiters(struct pool *pool);

/* Whether a server that has come back to `pool` should make room for another pool's waiter. */
bool pool_yields(const struct pool *pool);

/* Servers were closed: pools that waited for that may open some, who has waited longest first. */
void pool_settle(struct cluster *cluster);

/* Whether no limit stands against one more server. */
bool pool_has_room(const struct pool *pool);

/* Why its first waiter has not been served, as a sentence's end; the SQLSTATE to go with it. */
const char *pool_obstacle(const struct pool *pool, char *out, size_t size);

void pool_limits_init(struct pool *pool);

/* pool_keep.c */

/* A server was put to rest: one day it may have to be closed. */
void pool_rested(struct pool *pool);

/* Servers were closed, or the pool is new: some may have to be opened, or the pool to be forgotten.
 */
void pool_keep(struct pool *pool);

/* Opening failed: it is tried again in a while. */
void pool_refill_later(struct pool *pool);
void pool_keep_init(struct pool *pool);

/* Does now what there is to be done. May forget the pool. */
void pool_look(struct pool *pool);

#endif
