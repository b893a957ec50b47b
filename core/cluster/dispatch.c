/* dispatch.c - see dispatch.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/dispatch.h"

#include "base/clock.h"
#include "cluster/chase.h"
#include "cluster/refusal.h"

#include <math.h>
#include <stddef.h>

static void try_next(struct dispatch *d);

static struct ev_loop *loop_of(const struct dispatch *d)
{
	return d->cluster->context->loop;
}

/* Ends the dispatch, then calls out: the callee may free it or start it anew. */
static void finish(struct dispatch *d, struct server *server, enum status status,
                   const char *sqlstate, const char *reason)
{
	dispatch_cancel(d);
	d->fn(d, server, status, sqlstate, reason);
}

static void on_acquired(struct pool_waiter *waiter, struct server *server, enum status status,
                        const char *sqlstate, const char *reason)
{
	struct dispatch *d = LIST_ENTRY(waiter, struct dispatch, waiter);
	if (status != ST_ESERVER || !d->route || refusal_is_final(sqlstate)) {
		finish(d, server, status, *sqlstate || status == ST_OK ? sqlstate : "57P03",
		       reason);
		return;
	}
	d->excluded |= UINT64_C(1) << d->endpoint->index;
	try_next(d);
}

static void on_notice(struct pool_waiter *waiter)
{
	struct dispatch *d = LIST_ENTRY(waiter, struct dispatch, waiter);
	d->on_wait(d);
}

static void arm(struct dispatch *d, double now)
{
	double next = fmin(d->deadline, d->waiter.notice_at);
	if (d->patient_until > now)
		next = fmin(next, d->patient_until);
	ev_timer_set(&d->timer, fmax(0, next - now), 0);
	ev_timer_start(loop_of(d), &d->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct dispatch *d = LIST_ENTRY(timer, struct dispatch, timer);
	double now = clock_now();
	if (now >= d->deadline) {
		finish(d, NULL, ST_TIMEOUT, "57P03",
		       "no endpoint of this route became available in time");
		return;
	}
	if (d->patient_until != 0 && now >= d->patient_until) {
		d->patient_until = 0;
		list_remove(&d->parked);
		try_next(d);
		return;
	}
	bool due = now >= d->waiter.notice_at;
	if (due)
		d->waiter.notice_at = INFINITY;
	arm(d, now);
	if (due)
		d->on_wait(d);
}

static enum consistency level_of(const struct dispatch *d)
{
	return d->need.leveled ? d->need.level : route_config(d->route)->consistency;
}

/* How long a read waits rather than take the fallback. */
static double patience_of(const struct dispatch *d)
{
	if (!d->route)
		return 0;
	double wait_fresh = route_config(d->route)->wait_fresh;
	bool returns = d->need.has_read && level_of(d) == CONSISTENCY_SESSION &&
	               route_config(d->route)->to != TO_PRIMARY &&
	               chase_may_return(d->cluster, d->last_write);
	return returns ? fmax(wait_fresh, CHASE_RETURN) : wait_fresh;
}

/* What the read waits for, as a moment that replicas have to be fresh as of. */
static double wanted(const struct dispatch *d, double now)
{
	const struct need *n = &d->need;
	enum consistency level = level_of(d);
	if (n->after.timeline || level == CONSISTENCY_BOUNDED)
		return now;
	return level == CONSISTENCY_SESSION && n->has_read ? fmax(d->last_write, n->last_read)
	                                                   : d->last_write;
}

/* Behind all that came before it: mostly at the back, unless it was begun anew. */
static void park(struct dispatch *d)
{
	double now = clock_now();
	struct list *after = d->cluster->parked.prev;
	arm(d, now);
	while (after != &d->cluster->parked &&
	       LIST_ENTRY(after, struct dispatch, parked)->waiter.since > d->waiter.since)
		after = after->prev;
	list_push_front(after, &d->parked);
	if (d->patient_until != 0)
		cluster_want(d->cluster, wanted(d, now));
}

static struct endpoint *pick(struct dispatch *d, double now)
{
	const struct demand demand = {.now = now,
	                              .last_write = d->last_write,
	                              .need = &d->need,
	                              .excluded = d->excluded,
	                              .patient = now < d->patient_until};
	return d->route ? route_pick(d->route, &demand) : d->endpoint;
}

static void try_next(struct dispatch *d)
{
	struct endpoint *endpoint = pick(d, clock_now());
	if (!endpoint) {
		park(d);
		return;
	}
	d->endpoint = endpoint;
	struct pool *pool = pool_of(endpoint, d->user, d->database);
	if (!pool) {
		finish(d, NULL, ST_ENOMEM, "53200", "out of memory");
		return;
	}
	pool_acquire(pool, &d->waiter, d->cluster->pool.acquire_timeout, on_acquired);
}

/* How long a query may wait for an endpoint of its route. */
static double patience_for_any(const struct dispatch_request *request)
{
	double hold = request->route ? route_config(request->route)->hold : 0;
	return hold > 0 ? hold : request->cluster->pool.acquire_timeout;
}

static double notice_time(const struct dispatch_request *request, double now)
{
	double after = request->cluster->pool.notice_after;
	return request->on_wait && after > 0 ? now + after : INFINITY;
}

void dispatch_start(struct dispatch *d, const struct dispatch_request *request, dispatched_fn *fn)
{
	double now = clock_now(), since = request->since > 0 ? request->since : now;
	d->cluster = request->cluster;
	d->route = request->route;
	d->endpoint = request->endpoint;
	d->user = request->user;
	d->database = request->database;
	d->last_write = request->last_write;
	d->need = request->need ? *request->need : (struct need){0};
	d->excluded = request->excluded;
	d->deadline = since + patience_for_any(request);
	d->fn = fn;
	d->on_wait = request->on_wait;
	d->waiter.pool = NULL;
	d->waiter.since = since;
	d->waiter.notice_at = notice_time(request, since);
	d->waiter.notice = on_notice;
	list_init(&d->parked);
	ev_init(&d->timer, on_timer);
	double patience = patience_of(d);
	d->patient_until = patience > 0 ? now + patience : 0;
	try_next(d);
}

void dispatch_cancel(struct dispatch *d)
{
	if (!d->cluster)
		return;
	pool_cancel(&d->waiter);
	ev_timer_stop(loop_of(d), &d->timer);
	list_remove(&d->parked);
	d->cluster = NULL;
}

void dispatch_wake(struct cluster *cluster)
{
	struct list woken;
	list_init(&woken);
	while (!list_empty(&cluster->parked)) {
		struct list *link = cluster->parked.next;
		list_remove(link);
		list_push_back(&woken, link);
	}
	while (!list_empty(&woken)) {
		struct dispatch *d = LIST_ENTRY(woken.next, struct dispatch, parked);
		list_remove(&d->parked);
		ev_timer_stop(loop_of(d), &d->timer);
		d->excluded = 0;
		try_next(d);
	}
}

void dispatch_close_all(struct cluster *cluster)
{
	while (!list_empty(&cluster->parked)) {
		struct dispatch *d = LIST_ENTRY(cluster->parked.next, struct dispatch, parked);
		finish(d, NULL, ST_CLOSED, "57P01", "the cluster was closed");
	}
}
