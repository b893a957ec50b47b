/* dispatch.h - from a verdict to a borrowed server.
 *
 * Picks an endpoint by the route and borrows from its pool. An endpoint that cannot be reached is
 * left out and another one picked; when none will do the dispatch is parked, in arrival order,
 * until an endpoint comes up or the deadline passes. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_DISPATCH_H
#define MOONGATE_CLUSTER_DISPATCH_H

#include "cluster/cluster.h"
#include "cluster/pool.h"

struct dispatch;

/* Runs exactly once per dispatch_start() that was not cancelled; may run before it returns.
 * `server` is NULL unless `status` is ST_OK; it goes back through pool_release(). Else
 * `sqlstate` and `reason` are what the client should be told (valid during the call):
 * 57P03 no endpoint in time, 53300 pool full all the time, or PostgreSQL's own refusal. */
typedef void dispatched_fn(struct dispatch *dispatch, struct server *server, enum status status,
                           const char *sqlstate, const char *reason);

/* The borrower has waited for `notice_after` seconds, for an endpoint or for a server, and goes on
 * waiting: time to tell its client. At most once per dispatch_start(), never inside of it; may
 * cancel. */
typedef void dispatch_wait_fn(struct dispatch *dispatch);

/* Embedded in the borrower. Zero is "not under way". */
struct dispatch {
	struct cluster *cluster;     /* NULL: not under way */
	struct route *route;         /* or: */
	struct endpoint *endpoint;   /* the one picked; fixed when route is NULL */
	const char *user, *database; /* the borrower's; kept until the callback */
	double last_write;
	struct need need;
	uint64_t excluded;
	double deadline;
	double patient_until; /* see wait_fresh of struct route_config */
	dispatched_fn *fn;
	dispatch_wait_fn *on_wait;
	struct pool_waiter waiter;
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
	uint64_t excluded;
	double since;              /* when it began to wait, if it is begun anew; 0: now */
	dispatch_wait_fn *on_wait; /* NULL: nobody is told */
};

void dispatch_start(struct dispatch *dispatch, const struct dispatch_request *request,
                    dispatched_fn *fn);

/* The callback will not run. Fine when not under way. */
void dispatch_cancel(struct dispatch *dispatch);

/* For the cluster: an endpoint has come up, all that are parked choose again; or it is closed, and
 * they are told ST_CLOSED. */
void dispatch_wake(struct cluster *cluster);
void dispatch_close_all(struct cluster *cluster);

#endif
