/* dispatch.h - from a verdict to a borrowed server.
 *
 * Picks an endpoint by the route and borrows from its pool. An endpoint that cannot be reached is
 * left out and another one picked. Until one will do the dispatch is *parked*, in arrival order:
 *   PARKED_ENDPOINT   none will do: until one comes up, or the route's `hold` has passed
 *   PARKED_PAUSED     the cluster is paused (pause.h): until it is resumed, however long
 *   PARKED_FRESHNESS  a replica will do once it is fresher: until it is, or `fresh_until`
 * The first two are *held*: the cluster's hold_limit says how many there may be. Who has been held
 * keeps its place, in pools' queues too. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_DISPATCH_H
#define MOONGATE_CLUSTER_DISPATCH_H

#include "cluster/cluster.h"
#include "cluster/pool.h"

struct dispatch;

/* Runs exactly once per dispatch_start() that was not cancelled; may run before it returns.
 * `server` is NULL unless `status` is ST_OK; it goes back through pool_release(). Else
 * `sqlstate` and `reason` are what the client should be told (valid during the call), and
 * dispatch->hint beside it (static; NULL: none):
 * 57P03 no endpoint in time, or too many wait already; 53300 pool full all the time; or
 * PostgreSQL's own refusal. */
typedef void dispatched_fn(struct dispatch *dispatch, struct server *server, enum status status,
                           const char *sqlstate, const char *reason);

/* The borrower has waited for `notice_after` seconds, for an endpoint or for a server, and goes on
 * waiting: time to tell its client. At most once per dispatch_start(), never inside of it; may
 * cancel. */
typedef void dispatch_wait_fn(struct dispatch *dispatch);

enum parked { PARKED_NOT, PARKED_ENDPOINT, PARKED_PAUSED, PARKED_FRESHNESS };

/* Embedded in the borrower. Zero is "not under way". */
struct dispatch {
	struct cluster *cluster;     /* NULL: not under way */
	struct route *route;         /* or: */
	struct endpoint *endpoint;   /* the one picked; fixed when route is NULL */
	const char *user, *database; /* the borrower's; kept until the callback */
	double last_write;
	struct need need;
	double fresh_until;
	size_t bytes;
	uint64_t excluded;
	double patience, deadline;
	bool bounded; /* `patience` is the borrower's own, and all that it waits */
	dispatched_fn *fn;
	dispatch_wait_fn *on_wait;
	const char *hint;
	struct pool_waiter waiter; /* its `since` is the place in every queue */
	enum parked reason;
	bool held; /* it is, or was: it has waited its turn */
	bool copy; /* see below */
	struct list parked;
	ev_timer timer;
};

struct dispatch_request {
	struct cluster *cluster;
	struct route *route;         /* NULL: `endpoint` and no other */
	struct endpoint *endpoint;   /* used when `route` is NULL */
	const char *user, *database; /* see pool_of(); must stay until the callback */
	double last_write;           /* see struct demand */
	const struct need *need;     /* likewise; copied */
	double fresh_until; /* clock_now() until which it rather waits for a replica to become
	                       fresh enough than have the route's fallback; 0: as wait_fresh of the
	                       route says */
	uint64_t excluded;
	size_t bytes;    /* that wait with it, for hold_limit */
	bool copy;       /* nobody waits for it: it takes nobody's place in hold_limit,
	                    and is not counted */
	double since;    /* when it began to wait, if it is begun anew; 0: now */
	double patience; /* s that it waits, for an endpoint and a server; 0: as long as the
	                    route says, and the pool */
	dispatch_wait_fn *on_wait; /* NULL: nobody is told */
};

void dispatch_start(struct dispatch *dispatch, const struct dispatch_request *request,
                    dispatched_fn *fn);

/* The callback will not run. Fine when not under way. */
void dispatch_cancel(struct dispatch *dispatch);

/* What the primary lacks that it waits for, as far as that is known (valid until the loop turns);
 * NULL: nothing, or another endpoint would do. */
const char *dispatch_lack(const struct dispatch *dispatch);

/* It waits in a pool, and somebody else who got a server there takes its business along: as if it
 * had got the server, but the callback will not run. */
void dispatch_take_along(struct dispatch *dispatch);

/* For the cluster: an endpoint has come up or become fresher, or the pause is over: all that are
 * parked choose again, in order. Or it is closed, and they are told ST_CLOSED. */
void dispatch_wake(struct cluster *cluster);
void dispatch_close_all(struct cluster *cluster);

/* For pause.h: those that wait for an endpoint, or for it to become fresher, wait for the end of
 * the pause. */
void dispatch_pause_all(struct cluster *cluster);

#endif
