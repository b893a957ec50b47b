/* pool_keep.c - what becomes of servers that nobody needs for now: they are closed when they have
 * rested too long or are too old, and opened anew where some are to be kept.
 *
 * A pool with neither servers nor waiters is forgotten, after a while. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "cluster/alarms.h"
#include "cluster/pool_state.h"

#include <math.h>

#define FORGET_AFTER 60.0 /* s that a pool without servers is remembered, with its counts */
#define REFILL_RETRY 5.0  /* s until servers that could not be opened are tried again */

static unsigned kept(const struct pool *pool)
{
	unsigned min = pool_config(pool)->min_idle;
	return min < pool->size ? min : pool->size;
}

/* When `s` must go; INFINITY where nothing but its borrowers ends it. */
static double close_time(const struct server *s)
{
	double rest = pool_config(s->pool)->idle_timeout;
	if (rest <= 0 || pool_servers(s->pool) <= kept(s->pool))
		return s->expires;
	return fmin(s->expires, s->released + rest);
}

static bool empty(const struct pool *pool)
{
	return pool_servers(pool) == 0 && pool->waiting_count == 0;
}

/* Servers are missing that are to be kept; not for those that wait, who come first. */
static bool lacks(const struct pool *pool)
{
	return pool_servers(pool) < kept(pool);
}

static double next_look(const struct pool *pool, double now)
{
	double next = INFINITY;
	if (lacks(pool))
		next = fmax(now, pool->refill_at);
	else if (empty(pool))
		next = now + FORGET_AFTER;
	LIST_EACH (&pool->idle, link)
		next = fmin(next, close_time(LIST_ENTRY(link, struct server, link)));
	return next;
}

static void look_later(struct pool *pool, double now)
{
	pool->look_at = next_look(pool, now);
	ev_timer_stop(pool_loop(pool), &pool->keeper);
	if (pool->look_at == INFINITY)
		return;
	ev_timer_set(&pool->keeper, fmax(0, pool->look_at - now), 0);
	alarm_start(pool_context(pool), &pool->keeper);
}

void pool_rested(struct pool *pool)
{
	const struct server *last = LIST_ENTRY(pool->idle.next, struct server, link);
	const struct server *longest = LIST_ENTRY(pool->idle.prev, struct server, link);
	if (fmin(close_time(last), close_time(longest)) < pool->look_at)
		look_later(pool, last->released);
}

void pool_keep(struct pool *pool)
{
	if (!pool->closing && (lacks(pool) || empty(pool)))
		look_later(pool, clock_now());
}

void pool_refill_later(struct pool *pool)
{
	pool->refill_at = clock_now() + REFILL_RETRY;
}

/* Those that were used last are spared longest. */
static unsigned close_old(struct pool *pool, double now)
{
	unsigned closed = 0;
	for (struct list *link = pool->idle.prev, *before; link != &pool->idle; link = before) {
		struct server *s = LIST_ENTRY(link, struct server, link);
		before = link->prev;
		if (close_time(s) > now)
			continue;
		pool_close(s);
		closed++;
	}
	return closed;
}

static void refill(struct pool *pool, double now)
{
	if (now < pool->refill_at)
		return;
	while (!pool_cluster(pool)->paused && lacks(pool) && pool_has_room(pool) &&
	       list_empty(&pool_cluster(pool)->blocked) && health_usable(&pool->endpoint->health) &&
	       !pool->endpoint->drained && pool_open(pool))
		;
	if (lacks(pool))
		pool->refill_at = now + REFILL_RETRY;
}

void pool_look(struct pool *pool)
{
	struct cluster *cluster = pool_cluster(pool);
	double now = clock_now();
	unsigned closed = close_old(pool, now);
	refill(pool, now);
	if (closed == 0 && empty(pool) && !lacks(pool))
		pool_forget(pool);
	else
		look_later(pool, now);
	pool_settle(cluster);
}

static void on_keeper(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	pool_look(LIST_ENTRY(timer, struct pool, keeper));
}

void pools_catch_up(struct endpoint *endpoint)
{
	double now = clock_now();
	struct pool *each, *next;
	HASH_ITER (hh, endpoint->pools, each, next)
		if (each->look_at <= now)
			pool_look(each);
}

void pool_keep_init(struct pool *pool)
{
	pool->look_at = INFINITY;
	ev_init(&pool->keeper, on_keeper);
	pool_keep(pool);
}
