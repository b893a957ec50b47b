/* pool_limits.c - whether a pool may open another server: its size and reserve, and the limits that
 * it shares with other pools.
 *
 * A pool whose waiters are held up by a shared limit is in cluster->blocked. While that list is
 * empty, which is almost always, nobody looks at another pool than its own. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "cluster/alarms.h"
#include "cluster/pool_state.h"

#include <math.h>
#include <stdio.h>

/* What lets a waiter have one more server; costs a look at the clock only where there is a reserve.
 */
static unsigned allowed(const struct pool *pool)
{
	const struct pool_config *config = pool_config(pool);
	if (!config->reserve || list_empty(&pool->waiters))
		return pool->size;
	return quota_size(config, pool->size, clock_now() - pool_first_waiter(pool)->since);
}

static bool wants_more(const struct pool *pool)
{
	return pool->opening_count < pool->waiting_count && pool_servers(pool) < allowed(pool);
}

bool pool_has_room(const struct pool *pool)
{
	for (int i = 0; i < POOL_LIMITS; i++)
		if (quota_full(pool->quotas[i]))
			return false;
	return true;
}

/* Of the pools that share this limit with `pool`, the server that has been idle longest. */
static struct server *longest_idle(const struct pool *pool, enum pool_limit limit)
{
	const struct cluster *cluster = pool_cluster(pool);
	struct server *longest = NULL;
	for (size_t i = 0; i < cluster->endpoint_count; i++) {
		const struct pool *each, *next;
		HASH_ITER (hh, cluster->endpoints[i]->pools, each, next) {
			if (each->quotas[limit] != pool->quotas[limit] || list_empty(&each->idle))
				continue;
			struct server *s = LIST_ENTRY(each->idle.prev, struct server, link);
			if (!longest || s->released < longest->released)
				longest = s;
		}
	}
	return longest;
}

/* Whether closing idle servers, and perhaps one of `holder`, would do. */
static bool could_have_room(const struct pool *pool, const struct pool *holder)
{
	bool helps = holder == NULL;
	for (int i = 0; i < POOL_LIMITS; i++) {
		const struct quota *q = pool->quotas[i];
		if (!quota_full(q))
			continue;
		bool shared = holder && holder->quotas[i] == q;
		if (!shared && q->idle == 0)
			return false;
		helps = helps || shared;
	}
	return helps;
}

static bool make_room(const struct pool *pool)
{
	if (pool_has_room(pool))
		return true;
	if (!could_have_room(pool, NULL))
		return false;
	for (enum pool_limit i = 0; i < POOL_LIMITS; i++) {
		if (!quota_full(pool->quotas[i]))
			continue;
		struct server *s = longest_idle(pool, i);
		struct pool *other = s->pool;
		pool_close(s);
		pool_keep(other);
	}
	return true;
}

/* Comes when the first waiter will have waited for the reserve. */
static void watch_reserve(struct pool *pool)
{
	const struct pool_config *config = pool_config(pool);
	if (!config->reserve || ev_is_active(&pool->reserve) || list_empty(&pool->waiters) ||
	    pool_servers(pool) >= pool->size + config->reserve)
		return;
	double wait = pool_first_waiter(pool)->since + config->reserve_after - clock_now();
	if (wait <= 0)
		return; /* its use is not a matter of time any more */
	ev_timer_set(&pool->reserve, wait, 0);
	alarm_start(pool_context(pool), &pool->reserve);
}

void pool_open_for_waiters(struct pool *pool)
{
	bool held_up = false;
	while (wants_more(pool)) {
		held_up = !make_room(pool);
		if (held_up || !pool_open(pool))
			break; /* out of memory: the waiters' deadlines stand */
	}
	list_remove(&pool->blocked);
	if (held_up)
		list_push_back(&pool_cluster(pool)->blocked, &pool->blocked);
	watch_reserve(pool);
}

static void on_reserve(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	pool_open_for_waiters(LIST_ENTRY(timer, struct pool, reserve));
}

void pool_limits_init(struct pool *pool)
{
	list_init(&pool->blocked);
	ev_init(&pool->reserve, on_reserve);
}

static struct claim claim_of(const struct pool *pool)
{
	bool waits = !list_empty(&pool->waiters);
	return (struct claim){.since = waits ? pool_first_waiter(pool)->since : INFINITY,
	                      .servers = pool_servers(pool)};
}

bool pool_yields(const struct pool *pool)
{
	const struct claim ours = claim_of(pool);
	LIST_EACH (&pool_cluster(pool)->blocked, link) {
		const struct pool *other = LIST_ENTRY(link, struct pool, blocked);
		const struct claim theirs = claim_of(other);
		if (other != pool && quota_yields(&ours, &theirs) && wants_more(other) &&
		    could_have_room(other, pool))
			return true;
	}
	return false;
}

/* Of the blocked pools that could open a server now, the one whose waiter has waited longest. */
static struct pool *next_in_turn(struct cluster *cluster)
{
	struct pool *first = NULL;
	LIST_EACH (&cluster->blocked, link) {
		struct pool *pool = LIST_ENTRY(link, struct pool, blocked);
		if (!wants_more(pool))
			list_remove(&pool->blocked);
		else if (could_have_room(pool, NULL) &&
		         (!first || claim_of(pool).since < claim_of(first).since))
			first = pool;
	}
	return first;
}

void pool_settle(struct cluster *cluster)
{
	while (!list_empty(&cluster->blocked)) {
		struct pool *pool = next_in_turn(cluster);
		if (!pool || !make_room(pool) || !pool_open(pool))
			return;
	}
}

const char *pool_obstacle(const struct pool *pool, char *out, size_t size)
{
	static const char *const limits[POOL_LIMITS][3] = {{"endpoint", "pool.max_per_endpoint"},
	                                                   {"database", "pool.max_per_database"},
	                                                   {"user", "pool.max_per_user"}};
	const char *endpoint = pool->endpoint->name;
	if (pool_servers(pool) >= allowed(pool)) {
		snprintf(out, size, "all %u of its pool at %s are in use (pool.size)",
		         pool_servers(pool), endpoint);
		return "53300";
	}
	for (int i = 0; i < POOL_LIMITS; i++) {
		const struct quota *q = pool->quotas[i];
		if (!quota_full(q))
			continue;
		snprintf(out, size, "all %u of %s %s are in use (%s)", q->limit, limits[i][0],
		         i == LIMIT_ENDPOINT ? endpoint : quota_name(q), limits[i][1]);
		return "53300";
	}
	if (pool->lent_count == 0) {
		snprintf(out, size, "connecting to %s takes longer", endpoint);
		return "57P03";
	}
	snprintf(out, size, "%s lets no more in than the %u in use", endpoint, pool_servers(pool));
	return "53300";
}
