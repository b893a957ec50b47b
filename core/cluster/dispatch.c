/* dispatch.c - see dispatch.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/dispatch.h"

#include "base/clock.h"
#include "cluster/alarms.h"
#include "cluster/chase.h"
#include "cluster/refusal.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

static void try_next(struct dispatch *d);

static struct ev_loop *loop_of(const struct dispatch *d)
{
	return d->cluster->context->loop;
}

/* Ends the dispatch, then calls out: the callee may free it or start it anew. */
static void finish(struct dispatch *d, struct server *server, enum status status,
                   const char *sqlstate, const char *reason)
{
	if (status == ST_OK && d->held)
		d->cluster->counters.values[COUNTER_HELD_RELEASED]++;
	dispatch_cancel(d);
	d->fn(d, server, status, sqlstate, reason);
}

void dispatch_take_along(struct dispatch *d)
{
	if (d->held)
		d->cluster->counters.values[COUNTER_HELD_RELEASED]++;
	dispatch_cancel(d);
}

static void on_acquired(struct pool_waiter *waiter, struct server *server, enum status status,
                        const char *sqlstate, const char *reason)
{
	struct dispatch *d = LIST_ENTRY(waiter, struct dispatch, waiter);
	if (status == ST_AGAIN) {
		try_next(d);
		return;
	}
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

static bool counts_as_held(const struct dispatch *d, enum parked reason)
{
	return !d->copy && (reason == PARKED_ENDPOINT || reason == PARKED_PAUSED);
}

/* When what it waits for will not come any more. */
static double end_of_wait(const struct dispatch *d)
{
	switch (d->reason) {
	case PARKED_ENDPOINT:
		return d->deadline;
	case PARKED_FRESHNESS:
		return fmin(d->deadline, d->fresh_until);
	case PARKED_NOT:
	case PARKED_PAUSED:
		break;
	}
	return INFINITY;
}

static void arm(struct dispatch *d, double now)
{
	double next = fmin(end_of_wait(d), d->waiter.notice_at);
	ev_timer_stop(loop_of(d), &d->timer);
	if (next == INFINITY)
		return;
	ev_timer_set(&d->timer, fmax(0, next - now), 0);
	alarm_start(d->cluster->context, &d->timer);
}

/* Behind all that came before it: mostly at the back, unless it has waited elsewhere first. */
static void join_parked(struct dispatch *d)
{
	struct list *head = &d->cluster->parked, *after = head->prev;
	while (after != head &&
	       LIST_ENTRY(after, struct dispatch, parked)->waiter.since > d->waiter.since)
		after = after->prev;
	list_push_front(after, &d->parked);
}

static void count(struct dispatch *d, enum parked reason)
{
	struct cluster *cluster = d->cluster;
	bool was = counts_as_held(d, d->reason), is = counts_as_held(d, reason);
	cluster->held += (unsigned)is - (unsigned)was;
	cluster->held_bytes += (is ? d->bytes : 0) - (was ? d->bytes : 0);
	if (is && reason == PARKED_PAUSED && d->reason != PARKED_PAUSED)
		cluster->counters.values[COUNTER_PAUSED]++;
	if (is && reason == PARKED_ENDPOINT && !d->held)
		cluster->counters.values[COUNTER_HELD]++;
	d->held |= is;
	d->reason = reason;
}

/* Who has been held before is not sent away now. */
static bool too_many(const struct dispatch *d)
{
	const struct cluster *cluster = d->cluster;
	const struct hold_limit *limit = &cluster->hold_limit;
	return !d->held &&
	       (cluster->held >= limit->queries || cluster->held_bytes + d->bytes > limit->bytes);
}

static void refuse(struct dispatch *d)
{
	char reason[128];
	const struct cluster *cluster = d->cluster;
	snprintf(reason, sizeof reason, "%s, and %u queries wait already",
	         cluster->paused ? "the cluster is paused" : "no endpoint is available",
	         cluster->held);
	d->cluster->counters.values[COUNTER_HELD_REFUSED]++;
	d->hint = "hold_limit says how many queries may wait, and how many bytes of them.";
	finish(d, NULL, ST_TIMEOUT, "57P03", reason);
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

static void park(struct dispatch *d, enum parked reason, double now)
{
	if (counts_as_held(d, reason) && too_many(d)) {
		refuse(d);
		return;
	}
	bool first = list_empty(&d->cluster->parked);
	count(d, reason);
	join_parked(d);
	arm(d, now);
	if (reason == PARKED_FRESHNESS)
		cluster_want(d->cluster, wanted(d, now));
	if (first)
		cluster_awaited(d->cluster, d->user, d->database);
}

/* It chooses again; the time of a pause is nobody's patience. */
static void unpark(struct dispatch *d, double now)
{
	if (d->reason == PARKED_PAUSED)
		d->deadline = now + d->patience;
	count(d, PARKED_NOT);
	list_remove(&d->parked);
	ev_timer_stop(loop_of(d), &d->timer);
}

static struct demand demand_of(const struct dispatch *d, double now)
{
	return (struct demand){.now = now,
	                       .last_write = d->last_write,
	                       .need = &d->need,
	                       .excluded = d->excluded,
	                       .patient = now < d->fresh_until};
}

const char *dispatch_lack(const struct dispatch *d)
{
	const struct demand demand = demand_of(d, clock_now());
	if (!d->route || !route_needs_primary(d->route, &demand))
		return NULL;
	return cluster_lack(d->cluster);
}

static void give_up(struct dispatch *d)
{
	char reason[256];
	const char *why = dispatch_lack(d);
	snprintf(reason, sizeof reason, "no endpoint of this route became available in time%s%s",
	         why ? ": " : "", why ? why : "");
	d->cluster->counters.values[COUNTER_HELD_TIMEOUTS] += !d->copy;
	finish(d, NULL, ST_TIMEOUT, "57P03", reason);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct dispatch *d = LIST_ENTRY(timer, struct dispatch, timer);
	double now = clock_now();
	if (now >= end_of_wait(d)) {
		if (d->reason == PARKED_ENDPOINT) {
			give_up(d);
			return;
		}
		unpark(d, now);
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

/* The endpoint to use now; NULL: none, for `*reason`. */
static struct endpoint *pick(const struct dispatch *d, double now, enum parked *reason)
{
	const struct demand demand = demand_of(d, now);
	*reason = PARKED_PAUSED;
	if (d->cluster->paused)
		return NULL;
	if (!d->route)
		return d->endpoint;
	*reason = demand.patient ? PARKED_FRESHNESS : PARKED_ENDPOINT;
	return route_pick(d->route, &demand);
}

/* Who was held has been promised its route's patience, not just the pool's. */
static double pool_patience(const struct dispatch *d, double now)
{
	if (d->bounded)
		return fmax(0, d->deadline - now);
	double timeout = d->cluster->pool.acquire_timeout;
	return d->held ? fmax(timeout, d->deadline - now) : timeout;
}

/* There is nothing that would do. */
static void wait_or_refuse(struct dispatch *d, enum parked reason, double now)
{
	const struct demand demand = demand_of(d, now);
	bool wants_primary = reason == PARKED_ENDPOINT && route_needs_primary(d->route, &demand);
	const char *refusal = wants_primary ? cluster_refusal(d->cluster) : NULL;
	if (refusal)
		finish(d, NULL, ST_ESERVER, "57P03", refusal);
	else
		park(d, reason, now);
}

static void try_next(struct dispatch *d)
{
	enum parked reason;
	double now = clock_now();
	struct endpoint *endpoint = pick(d, now, &reason);
	if (!endpoint) {
		wait_or_refuse(d, reason, now);
		return;
	}
	d->endpoint = endpoint;
	struct pool *pool = pool_of(endpoint, d->user, d->database);
	if (!pool) {
		finish(d, NULL, ST_ENOMEM, "53200", "out of memory");
		return;
	}
	pool_acquire(pool, &d->waiter, pool_patience(d, now), on_acquired);
}

/* How long a query may wait for an endpoint of its route. */
static double patience(const struct dispatch_request *request)
{
	double hold = request->route ? route_config(request->route)->hold : 0;
	if (request->patience > 0)
		return request->patience;
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
	d->fresh_until = request->fresh_until;
	d->excluded = request->excluded;
	d->bytes = request->bytes;
	d->copy = request->copy;
	d->patience = patience(request);
	d->bounded = request->patience > 0;
	d->deadline = since + d->patience;
	d->hint = NULL;
	d->reason = PARKED_NOT;
	d->held = request->since > 0; /* by the cluster before this one, perhaps */
	d->fn = fn;
	d->on_wait = request->on_wait;
	d->waiter.pool = NULL;
	d->waiter.since = since;
	d->waiter.notice_at = notice_time(request, since);
	d->waiter.notice = on_notice;
	list_init(&d->parked);
	ev_init(&d->timer, on_timer);
	double wait = patience_of(d);
	if (wait > 0)
		d->fresh_until = now + wait;
	try_next(d);
}

void dispatch_cancel(struct dispatch *d)
{
	if (!d->cluster)
		return;
	pool_cancel(&d->waiter);
	unpark(d, 0);
	d->cluster = NULL;
}

void dispatch_wake(struct cluster *cluster)
{
	struct list woken;
	if (cluster->paused)
		return;
	list_init(&woken);
	while (!list_empty(&cluster->parked)) {
		struct list *link = cluster->parked.next;
		list_remove(link);
		list_push_back(&woken, link);
	}
	double now = clock_now();
	while (!list_empty(&woken)) {
		struct dispatch *d = LIST_ENTRY(woken.next, struct dispatch, parked);
		unpark(d, now);
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

void dispatch_pause_all(struct cluster *cluster)
{
	double now = clock_now();
	LIST_EACH (&cluster->parked, link) {
		struct dispatch *d = LIST_ENTRY(link, struct dispatch, parked);
		count(d, PARKED_PAUSED);
		arm(d, now);
	}
}
