/* pools.c - what happens to all pools of an endpoint: it goes down, moves, is drained or paused. */
/* SPDX-License-Identifier: MIT */
#include "cluster/pool_state.h"

#include "base/clock.h"

#include <math.h>

static struct pool *pool_with_waiters(const struct endpoint *endpoint)
{
	struct pool *pool, *next;
	HASH_ITER (hh, endpoint->pools, pool, next)
		if (!list_empty(&pool->waiters))
			return pool;
	return NULL;
}

/* Each look is a new one: who is told may come back at once, or be the end of a pool. */
void pools_turn_away(struct endpoint *endpoint)
{
	struct pool *pool;
	for (unsigned n = endpoint->waiting; n > 0 && (pool = pool_with_waiters(endpoint)); n--)
		pool_fail_first(pool, ST_ESERVER, "57P03", "the endpoint is down");
}

bool pool_is_stale(const struct server *s)
{
	return s->opened < s->endpoint->went_down;
}

bool pool_may_rest(struct server *s)
{
	return !s->pool->closing && !s->endpoint->drained && !pool_is_stale(s) &&
	       server_is_current(s) && (s->expires == INFINITY || clock_now() < s->expires);
}

static void trim(struct pool *pool)
{
	unsigned closed = 0;
	LIST_EACH (&pool->idle, link) {
		struct server *s = LIST_ENTRY(link, struct server, link);
		if (pool_may_rest(s))
			continue;
		pool_close(s);
		closed++;
	}
	if (pool->endpoint->drained)
		pool_fail_waiters(pool, ST_ESERVER, "57P03", POOL_DRAINED);
	if (closed)
		pool_after_close(pool);
}

void pools_trim(struct endpoint *endpoint)
{
	struct pool *each, *next;
	HASH_ITER (hh, endpoint->pools, each, next)
		trim(each);
}

void pools_resize(struct endpoint *endpoint, unsigned size)
{
	struct pool *each, *next;
	endpoint->pool_size = size;
	HASH_ITER (hh, endpoint->pools, each, next) {
		pool_reconfigure(each);
		pool_after_close(each);
	}
}

void pools_pause(struct endpoint *endpoint)
{
	struct pool *pool, *next;
	HASH_ITER (hh, endpoint->pools, pool, next) {
		pool_fail_waiters(pool, ST_AGAIN, "", NULL);
		LIST_EACH (&pool->idle, link)
			pool_close(LIST_ENTRY(link, struct server, link));
	}
}

void pools_resume(struct endpoint *endpoint)
{
	struct pool *pool, *next;
	HASH_ITER (hh, endpoint->pools, pool, next)
		pool_keep(pool);
}
