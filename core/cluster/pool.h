/* pool.h - a bounded set of server connections to one endpoint, for one user and database.
 *
 * Idle servers are lent last-in-first-out, so that the rest age out and PostgreSQL keeps few, warm
 * processes; waiters are served first-in-first-out until their deadline. How many servers there may
 * be is a matter of the pool's size and reserve, and of limits that it shares with other pools:
 * where one of these is reached, idle servers of the others make room, and who has waited longest
 * goes first (quota.h). */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_POOL_H
#define MOONGATE_CLUSTER_POOL_H

#include "base/list.h"
#include "base/status.h"
#include "cluster/server.h"

struct pool;

/* Runs exactly once per pool_acquire() that was not cancelled. `server` is NULL unless `status` is
 * ST_OK; the borrower gives it back with pool_release(). May run before pool_acquire() returns.
 * ST_AGAIN: the cluster was paused, ask again later. ST_TIMEOUT: the deadline passed. ST_ESERVER:
 * the endpoint cannot be reached, or is drained. ST_ENOMEM: nor can anything else, without
 * descriptors or memory. ST_CLOSED: the pool was freed. `sqlstate` and `reason` (valid during the
 * call) say why. */
struct pool_waiter;
typedef void pool_acquired_fn(struct pool_waiter *waiter, struct server *server, enum status status,
                              const char *sqlstate, const char *reason);

/* Embedded in the borrower; lives until the callback or pool_cancel(). */
struct pool_waiter {
	double since; /* set by the borrower: when it came, clock_now(); who came first is served
	                 first */
	double notice_at; /* set by it: when `notice` runs, if it still waits; INFINITY: never */
	void (*notice)(struct pool_waiter *waiter); /* once; may cancel */
	struct list link;
	pool_acquired_fn *fn;
	double timeout, deadline;
	ev_timer timer;
	struct pool *pool; /* NULL: not waiting */
};

struct pool_stats {
	unsigned size, idle, lent, opening, waiting;
	uint64_t opened, closed, acquired, timeouts, failures;
	const char *user, *database; /* the pool's; NULL: its endpoint's */
};

/* The endpoint's pool for this user and database (either may be NULL: what the URL names, else
 * libpq's default), made at first need. NULL: out of memory. */
struct pool *pool_of(struct endpoint *endpoint, const char *user, const char *database);

/* Borrows a server, waiting at most `timeout` seconds. */
void pool_acquire(struct pool *pool, struct pool_waiter *waiter, double timeout,
                  pool_acquired_fn *fn);

/* Whether it waits for what others give back: none is opened for it. */
bool pool_is_short(const struct pool_waiter *waiter);

/* The callback will not run. Fine when not waiting. */
void pool_cancel(struct pool_waiter *waiter);

/* Who waits for a server of the same pool, and came first; NULL: nobody does. */
struct pool_waiter *pool_next_waiter(const struct server *server);

/* Gives a server back. `reusable`: it is idle, outside of a transaction, and carries no state of
 * its borrower's; anything else is closed. */
void pool_release(struct server *server, bool reusable);

/* The loop has stood still: what timers would have done to idle servers meanwhile is done now. */
void pools_catch_up(struct endpoint *endpoint);

/* The endpoint is down: whoever waits for a server of it is told ST_ESERVER, in its pool's order.
 */
void pools_turn_away(struct endpoint *endpoint);

/* The endpoint's next pool, behind `pool`; NULL is before the first, and behind the last. */
const struct pool *pool_after(const struct endpoint *endpoint, const struct pool *pool);

/* For pause.h: servers at rest are closed, and waiters told ST_AGAIN; or there may be some again.
 */
void pools_pause(struct endpoint *endpoint);
void pools_resume(struct endpoint *endpoint);
/* The endpoint was drained, or its name leads elsewhere now: idle servers that are of no use any
 * more are closed; waiters at a drained endpoint are told ST_ESERVER, and may try elsewhere. */
void pools_trim(struct endpoint *endpoint);

/* From now on each of its pools has so many servers, at least 1, whatever the configuration says:
 * waiters get what is more; of what is less, idle servers are closed now, lent ones as they come
 * back. */
void pools_resize(struct endpoint *endpoint, unsigned size);

struct pool_stats pool_stats(const struct pool *pool);

/* All idle servers are closed, all waiters told ST_CLOSED. NULL is fine. Lent ones are closed when
 * they come back. */
void pool_free(struct pool *pool);

#endif
