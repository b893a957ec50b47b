/* pool.c - who has which server; see pool.h, and pool_state.h for the other parts of a pool. */
/* SPDX-License-Identifier: MIT */
#include "cluster/pool_state.h"

#include "base/clock.h"
#include "base/plain.h"
#include "base/random.h"
#include "cluster/alarms.h"
#include "cluster/conninfo.h"
#include "cluster/pause.h"
#include "cluster/refusal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(n) (1u << (n))

/* A server more (or less) that counts against the limits; `idle`: it could make room. */
static void count_in_quotas(const struct pool *pool, int used, int idle)
{
	for (int i = 0; i < POOL_LIMITS; i++) {
		pool->quotas[i]->used += (unsigned)used;
		pool->quotas[i]->idle += (unsigned)idle;
	}
}

static void set_state(struct server *s, enum server_state next)
{
	static const unsigned allowed[SERVER_STATES] = {
	        [SERVER_OPENING] = BIT(SERVER_IDLE) | BIT(SERVER_LENT) | BIT(SERVER_CLOSED),
	        [SERVER_IDLE] = BIT(SERVER_LENT) | BIT(SERVER_CLOSED),
	        [SERVER_LENT] = BIT(SERVER_IDLE) | BIT(SERVER_CLOSED) | BIT(SERVER_LENT),
	};
	struct pool *pool = s->pool;
	unsigned *counts[SERVER_STATES] = {[SERVER_OPENING] = &pool->opening_count,
	                                   [SERVER_IDLE] = &pool->idle_count,
	                                   [SERVER_LENT] = &pool->lent_count};
	struct list *lists[SERVER_STATES] = {[SERVER_OPENING] = &pool->opening,
	                                     [SERVER_IDLE] = &pool->idle,
	                                     [SERVER_LENT] = &pool->lent};
	assert(allowed[s->state] & BIT(next));
	count_in_quotas(pool, next == SERVER_CLOSED ? -1 : 0,
	                (next == SERVER_IDLE) - (s->state == SERVER_IDLE));
	--*counts[s->state];
	list_remove(&s->link);
	s->state = next;
	pool->endpoint->in_flight += next == SERVER_LENT;
	if (next == SERVER_CLOSED)
		return;
	++*counts[next];
	list_push_front(lists[next], &s->link);
}

void pool_close(struct server *s)
{
	s->pool->totals.closed++;
	set_state(s, SERVER_CLOSED);
	server_free(s);
}

void pool_leave(struct cluster *cluster, struct quota *quotas[POOL_LIMITS])
{
	quotas_leave(cluster->database_quotas, quotas[LIMIT_DATABASE]);
	quotas_leave(cluster->user_quotas, quotas[LIMIT_USER]);
	for (int i = 0; i < POOL_LIMITS; i++)
		quotas[i] = NULL;
}

void pool_forget(struct pool *pool)
{
	struct cluster *cluster = pool_cluster(pool);
	ev_timer_stop(pool_loop(pool), &pool->keeper);
	ev_timer_stop(pool_loop(pool), &pool->reserve);
	list_remove(&pool->blocked);
	pool_leave(cluster, pool->quotas);
	HASH_DEL(pool->endpoint->pools, pool);
	if (pool->endpoint->pool_used == pool)
		pool->endpoint->pool_used = NULL;
	free(pool);
}

void pool_after_close(struct pool *pool)
{
	struct cluster *cluster = pool_cluster(pool);
	if (cluster->paused) {
		cluster_note_quiet(cluster);
		return;
	}
	pool_open_for_waiters(pool);
	pool_keep(pool);
	pool_settle(cluster);
}

/* An idle server has nothing to say but that it is going, or that its settings have changed. */
static void on_idle_event(struct server *s, int events)
{
	(void)events;
	struct pool *pool = s->pool;
	struct endpoint *endpoint = s->endpoint;
	pool_close(s);
	pool_after_close(pool);
	endpoint_suspect(endpoint);
}

static void leave_queue(struct pool_waiter *w)
{
	list_remove(&w->link);
	ev_timer_stop(pool_loop(w->pool), &w->timer);
	w->pool->waiting_count--;
	w->pool->endpoint->waiting--;
	if (w->pool->waiting_count == 0)
		list_remove(&w->pool->blocked);
	w->pool = NULL;
}

static void fail_waiter(struct pool_waiter *w, enum status status, const char *sqlstate,
                        const char *reason)
{
	leave_queue(w);
	w->fn(w, NULL, status, sqlstate, reason);
}

void pool_fail_first(struct pool *pool, enum status status, const char *sqlstate,
                     const char *reason)
{
	fail_waiter(pool_first_waiter(pool), status, sqlstate, reason);
}

static void lend(struct pool *pool, struct server *s, struct pool_waiter *w)
{
	if (w->pool)
		leave_queue(w);
	set_state(s, SERVER_LENT);
	pool->totals.acquired++;
	w->fn(w, s, ST_OK, "", NULL);
}

/* Beyond its size a pool has servers only while somebody waits. */
static void rest(struct pool *pool, struct server *s)
{
	s->released = clock_now();
	if (s->state != SERVER_IDLE)
		set_state(s, SERVER_IDLE);
	server_hold(s, on_idle_event, pool);
	if (pool_servers(pool) > pool->size) {
		pool_close(LIST_ENTRY(pool->idle.prev, struct server, link));
		pool_settle(pool_cluster(pool));
	}
	if (!list_empty(&pool->idle))
		pool_rested(pool);
}

void pool_offer(struct pool *pool, struct server *s)
{
	unsigned most = pool->size + pool_config(pool)->reserve;
	if (pool_cluster(pool)->paused || pool_servers(pool) > most) {
		pool_close(s);
		pool_after_close(pool);
	} else if (!list_empty(&pool_cluster(pool)->blocked) && pool_yields(pool)) {
		pool_close(s);
		pool_settle(pool_cluster(pool)); /* the others first: they have waited longer */
		pool_after_close(pool);
	} else if (!list_empty(&pool->waiters)) {
		lend(pool, s, pool_first_waiter(pool));
	} else {
		rest(pool, s);
	}
}

void pool_fail_waiters(struct pool *pool, enum status status, const char *sqlstate,
                       const char *reason)
{
	unsigned count = pool->waiting_count;
	while (count-- > 0 && !list_empty(&pool->waiters))
		pool_fail_first(pool, status, sqlstate, reason);
}

/* Who can still be served by servers that are lent, or on their way, goes on waiting; but as nobody
 * tries again here, one goes elsewhere for each attempt that met no life. */
static void tell_waiters(struct pool *pool, bool dead, enum status status, const char *sqlstate,
                         const char *reason)
{
	bool hopeless = pool->lent_count + pool->opening_count == 0 ||
	                !health_usable(&pool->endpoint->health);
	if (hopeless)
		pool_fail_waiters(pool, status, sqlstate, reason);
	else if (dead && !list_empty(&pool->waiters))
		pool_fail_first(pool, status, sqlstate, reason);
}

/* Nothing but waiters, or servers that are to be kept, would open another one now. */
static void on_open_failed(struct pool *pool, enum status status, const char *sqlstate,
                           const char *reason)
{
	struct cluster *cluster = pool_cluster(pool);
	bool dead = status != ST_ENOMEM && !refusal_proves_life(sqlstate);
	pool_refill_later(pool);
	if (status != ST_ENOMEM)
		endpoint_unreachable(pool->endpoint, sqlstate, reason);
	tell_waiters(pool, dead, status == ST_ENOMEM ? status : ST_ESERVER, sqlstate, reason);
	if (pool_servers(pool) == 0 && pool->waiting_count == 0 &&
	    (pool_config(pool)->min_idle == 0 || refusal_is_final(sqlstate)))
		pool_forget(pool);
	else
		pool_keep(pool);
	pool_settle(cluster);
	cluster_note_quiet(cluster);
}

static void on_opened(struct server *s, enum status status, void *arg)
{
	struct pool *pool = arg;
	char sqlstate[sizeof s->sqlstate], reason[sizeof s->error];
	if (status == ST_OK) {
		double chance = random_unit(&s->context->random);
		s->expires = s->opened + quota_lifetime(pool_config(pool), chance);
		pool->totals.opened++;
		endpoint_admitted(pool->endpoint, pool->user, pool->database);
		pool_offer(pool, s);
		return;
	}
	memcpy(sqlstate, s->sqlstate, sizeof sqlstate);
	memcpy(reason, s->error, sizeof reason);
	pool->totals.failures++;
	pool_close(s);
	on_open_failed(pool, status, sqlstate, reason);
}

bool pool_open(struct pool *pool)
{
	struct server *s = server_open(pool->endpoint, pool->user, pool->database,
	                               pool_config(pool)->connect_timeout, on_opened, pool);
	if (!s)
		return false;
	s->pool = pool;
	list_push_front(&pool->opening, &s->link);
	pool->opening_count++;
	count_in_quotas(pool, 1, 0);
	return true;
}

static void give_up(struct pool_waiter *w)
{
	char why[160], reason[256];
	const char *sqlstate = pool_obstacle(w->pool, why, sizeof why);
	plain_print(reason, sizeof reason, "no server connection became free in time (%.3g s): %s",
	            w->timeout, why);
	w->pool->totals.timeouts++;
	if (w->pool->lent_count == 0 && w->pool->opening_count > 0)
		endpoint_failed(w->pool->endpoint);
	fail_waiter(w, ST_TIMEOUT, sqlstate, reason);
}

static void arm(struct pool_waiter *w, double now)
{
	double next = fmin(w->deadline, w->notice_at);
	ev_timer_set(&w->timer, fmax(0, next - now), 0);
	alarm_start(pool_context(w->pool), &w->timer);
}

static void on_waiter_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct pool_waiter *w = LIST_ENTRY(timer, struct pool_waiter, timer);
	double now = clock_now();
	if (now >= w->deadline) {
		give_up(w);
		return;
	}
	bool due = now >= w->notice_at;
	if (due)
		w->notice_at = INFINITY;
	arm(w, now);
	if (due)
		w->notice(w);
}

/* Behind all that came before it: mostly at the back, unless it has waited elsewhere first. */
static void join_queue(struct pool *pool, struct pool_waiter *w)
{
	struct list *after = pool->waiters.prev;
	while (after != &pool->waiters &&
	       LIST_ENTRY(after, struct pool_waiter, link)->since > w->since)
		after = after->prev;
	list_push_front(after, &w->link);
	w->pool = pool;
	pool->waiting_count++;
	pool->endpoint->waiting++;
}

static struct server *idle_first(const struct pool *pool)
{
	return LIST_ENTRY(pool->idle.next, struct server, link);
}

static void close_stale(struct pool *pool)
{
	while (!list_empty(&pool->idle) && pool_is_stale(idle_first(pool)))
		pool_close(idle_first(pool));
	pool_settle(pool_cluster(pool));
}

void pool_acquire(struct pool *pool, struct pool_waiter *w, double timeout, pool_acquired_fn *fn)
{
	w->fn = fn;
	w->pool = NULL;
	if (pool->endpoint->drained) {
		fn(w, NULL, ST_ESERVER, "57P03", POOL_DRAINED);
		return;
	}
	if (pool->endpoint->breaker.state != BREAKER_CLOSED)
		breaker_try(&pool->endpoint->breaker, &pool_cluster(pool)->breaker, clock_now());
	if (!list_empty(&pool->idle) && pool_is_stale(idle_first(pool)))
		close_stale(pool);
	if (!list_empty(&pool->idle)) {
		lend(pool, idle_first(pool), w);
		return;
	}
	double now = clock_now();
	join_queue(pool, w);
	w->timeout = timeout;
	w->deadline = now + timeout;
	ev_init(&w->timer, on_waiter_time);
	arm(w, now);
	pool_open_for_waiters(pool);
}

struct pool_waiter *pool_next_waiter(const struct server *server)
{
	const struct pool *pool = server->pool;
	return pool && pool->waiting_count > 0 ? pool_first_waiter(pool) : NULL;
}

bool pool_is_short(const struct pool_waiter *w)
{
	return w->pool && w->pool->opening_count < w->pool->waiting_count;
}

void pool_cancel(struct pool_waiter *w)
{
	if (w->pool)
		leave_queue(w);
}

void pool_release(struct server *s, bool reusable)
{
	struct pool *pool = s->pool;
	pool->endpoint->in_flight--;
	if (reusable)
		endpoint_served(pool->endpoint);
	if (reusable && pool_may_rest(s)) {
		pool_offer(pool, s);
		return;
	}
	pool_close(s);
	if (!pool->closing)
		pool_after_close(pool);
	else if (pool_servers(pool) == 0)
		pool_forget(pool);
}

static size_t put_name(char *to, const char *name)
{
	*to++ = name ? '+' : '-';
	size_t size = name ? strlen(name) + 1 : 1;
	memcpy(to, name ? name : "", size);
	return size + 1;
}

static size_t name_room(const char *name)
{
	return 2 + (name ? strlen(name) : 0);
}

/* What PostgreSQL will call the pool's user and database: limits count by that. */
bool pool_join(struct pool *pool, struct cluster *cluster, struct quota *quotas[POOL_LIMITS])
{
	const char *user = conninfo_get(pool->endpoint->conninfo, "user");
	const char *database = conninfo_get(pool->endpoint->conninfo, "dbname");
	user = user ? user : pool->user ? pool->user : "";
	database = database ? database : pool->database ? pool->database : user;
	quotas[LIMIT_ENDPOINT] = &pool->endpoint->quota;
	quotas[LIMIT_DATABASE] = quotas_join(cluster->database_quotas, database);
	quotas[LIMIT_USER] = quotas_join(cluster->user_quotas, user);
	return quotas[LIMIT_DATABASE] && quotas[LIMIT_USER];
}

static unsigned size_of(const struct pool *pool)
{
	const struct conninfo *info = pool->endpoint->conninfo;
	if (pool->endpoint->pool_size)
		return pool->endpoint->pool_size;
	const char *user = pool->user ? pool->user : conninfo_get(info, "user");
	const char *database = pool->database ? pool->database : conninfo_get(info, "dbname");
	return cluster_session_config(pool_cluster(pool), user, database)->pool_size;
}

void pool_reconfigure(struct pool *pool)
{
	pool->size = size_of(pool);
	while (pool_servers(pool) > pool->size && !list_empty(&pool->idle))
		pool_close(LIST_ENTRY(pool->idle.prev, struct server, link));
	if (pool_servers(pool))
		pool_look(pool);
	else
		pool_keep(pool);
}

static struct pool *pool_new(struct endpoint *endpoint, const char *key, size_t key_size)
{
	struct pool *pool = calloc(1, sizeof *pool + key_size);
	if (!pool)
		return NULL;
	pool->endpoint = endpoint;
	list_init(&pool->idle);
	list_init(&pool->lent);
	list_init(&pool->opening);
	list_init(&pool->waiters);
	pool_limits_init(pool);
	pool->key_size = key_size;
	memcpy(pool->key, key, key_size);
	const char *second = pool->key + strlen(pool->key) + 1;
	pool->user = *pool->key == '+' ? pool->key + 1 : NULL;
	pool->database = *second == '+' ? second + 1 : NULL;
	pool->size = size_of(pool);
	HASH_ADD(hh, endpoint->pools, key, key_size, pool);
	if (!pool_join(pool, endpoint->cluster, pool->quotas)) {
		pool_forget(pool);
		return NULL;
	}
	pool_keep_init(pool);
	return pool;
}

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

struct pool *pool_of(struct endpoint *endpoint, const char *user, const char *database)
{
	const struct pool *used = endpoint->pool_used;
	if (used && same(used->user, user) && same(used->database, database))
		return endpoint->pool_used;
	char small[256];
	struct pool *pool = NULL;
	size_t room = name_room(user) + name_room(database);
	char *key = room <= sizeof small ? small : malloc(room);
	if (!key)
		return NULL;
	size_t size = put_name(key, user);
	size += put_name(key + size, database);
	HASH_FIND(hh, endpoint->pools, key, size, pool);
	if (!pool)
		pool = pool_new(endpoint, key, size);
	if (key != small)
		free(key);
	endpoint->pool_used = pool;
	return pool;
}

const struct pool *pool_after(const struct endpoint *endpoint, const struct pool *pool)
{
	return pool ? pool->hh.next : endpoint->pools;
}

struct pool_stats pool_stats(const struct pool *pool)
{
	struct pool_stats stats = pool->totals;
	stats.size = pool->size;
	stats.idle = pool->idle_count;
	stats.lent = pool->lent_count;
	stats.opening = pool->opening_count;
	stats.waiting = pool->waiting_count;
	stats.user = pool->user;
	stats.database = pool->database;
	return stats;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	pool->closing = true;
	pool_fail_waiters(pool, ST_CLOSED, "57P01", "the pool was closed");
	LIST_EACH (&pool->idle, link)
		pool_close(LIST_ENTRY(link, struct server, link));
	LIST_EACH (&pool->opening, link)
		pool_close(LIST_ENTRY(link, struct server, link));
	ev_timer_stop(pool_loop(pool), &pool->keeper);
	ev_timer_stop(pool_loop(pool), &pool->reserve);
	if (pool_servers(pool) == 0)
		pool_forget(pool);
}
