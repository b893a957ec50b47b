/* pool.c - see pool.h.
 *
 *   idle      front: given back last, lent first; back: unused longest, closed first
 *   lent      with their borrowers
 *   opening   one for each waiter, as long as the size allows
 *   waiters   front: came first, served first; empty while a server is idle */
/* SPDX-License-Identifier: MIT */
#include "cluster/pool.h"

#include "base/clock.h"
#include "cluster/cluster.h"
#include "cluster/refusal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define BIT(n) (1u << (n))

struct pool {
	UT_hash_handle hh;
	struct endpoint *endpoint;
	struct list idle, lent, opening, waiters;
	unsigned idle_count, lent_count, opening_count, waiting_count;
	ev_timer reaper; /* runs while servers are idle and some timeout may close them */
	struct pool_stats totals;
	bool closing;
	const char *user, *database; /* in key; NULL where the borrower gave none */
	size_t key_size;
	char key[]; /* user and database, each with a mark of being there, and its NUL */
};

static struct ev_loop *loop_of(const struct pool *pool)
{
	return pool->endpoint->cluster->context->loop;
}

static const struct pool_config *config_of(const struct pool *pool)
{
	return &pool->endpoint->cluster->pool;
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
	--*counts[s->state];
	list_remove(&s->link);
	s->state = next;
	pool->endpoint->in_flight += next == SERVER_LENT;
	if (next == SERVER_CLOSED)
		return;
	++*counts[next];
	list_push_front(lists[next], &s->link);
}

static void close_server(struct server *s)
{
	s->pool->totals.closed++;
	set_state(s, SERVER_CLOSED);
	server_free(s);
}

static unsigned servers(const struct pool *pool)
{
	return pool->idle_count + pool->lent_count + pool->opening_count;
}

static void forget(struct pool *pool)
{
	ev_timer_stop(loop_of(pool), &pool->reaper);
	HASH_DEL(pool->endpoint->pools, pool);
	free(pool);
}

/* An idle server has nothing to say but that it is going, or that its settings have changed. */
static void on_idle_event(struct server *s, int events)
{
	(void)events;
	struct endpoint *endpoint = s->endpoint;
	close_server(s);
	endpoint_suspect(endpoint);
}

static void leave_queue(struct pool_waiter *w)
{
	list_remove(&w->link);
	ev_timer_stop(loop_of(w->pool), &w->deadline);
	w->pool->waiting_count--;
	w->pool->endpoint->waiting--;
	w->pool = NULL;
}

static void fail_waiter(struct pool_waiter *w, enum status status, const char *sqlstate,
                        const char *reason)
{
	leave_queue(w);
	w->fn(w, NULL, status, sqlstate, reason);
}

static struct pool_waiter *first_waiter(struct pool *pool)
{
	return LIST_ENTRY(pool->waiters.next, struct pool_waiter, link);
}

static bool lived_enough(const struct server *s, double now)
{
	double max = config_of(s->pool)->max_lifetime;
	return max > 0 && now - s->opened >= max;
}

/* When the reaper has to look at `s`; INFINITY where nothing but its borrowers ends it. */
static double close_time(const struct server *s)
{
	const struct pool_config *config = config_of(s->pool);
	double idle = config->idle_timeout > 0 ? s->released + config->idle_timeout : INFINITY;
	double life = config->max_lifetime > 0 ? s->opened + config->max_lifetime : INFINITY;
	return fmin(idle, life);
}

static void arm_reaper(struct pool *pool)
{
	double next = INFINITY;
	LIST_EACH (&pool->idle, link)
		next = fmin(next, close_time(LIST_ENTRY(link, struct server, link)));
	ev_timer_stop(loop_of(pool), &pool->reaper);
	if (next == INFINITY)
		return;
	ev_timer_set(&pool->reaper, fmax(0, next - clock_now()), 0);
	ev_timer_start(loop_of(pool), &pool->reaper);
}

static void on_reaper(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct pool *pool = LIST_ENTRY(timer, struct pool, reaper);
	double now = clock_now();
	LIST_EACH (&pool->idle, link) {
		struct server *s = LIST_ENTRY(link, struct server, link);
		if (close_time(s) <= now)
			close_server(s);
	}
	if (servers(pool) == 0 && pool->waiting_count == 0)
		forget(pool);
	else
		arm_reaper(pool);
}

static void lend(struct pool *pool, struct server *s, struct pool_waiter *w)
{
	if (w->pool)
		leave_queue(w);
	set_state(s, SERVER_LENT);
	pool->totals.acquired++;
	w->fn(w, s, ST_OK, "", NULL);
}

/* `s` is open and nobody's: the first waiter gets it, else it rests. Calls out last. */
static void offer(struct pool *pool, struct server *s)
{
	if (!list_empty(&pool->waiters)) {
		lend(pool, s, first_waiter(pool));
		return;
	}
	s->released = clock_now();
	if (s->state != SERVER_IDLE)
		set_state(s, SERVER_IDLE);
	server_hold(s, on_idle_event, pool);
	if (!ev_is_active(&pool->reaper))
		arm_reaper(pool);
}

static void open_for_waiters(struct pool *pool);

/* Waiters may yet be served by servers that are lent; without any they are told, and may try
 * elsewhere. Takes the queue as it is now: a waiter that is told may come back at once. */
static void fail_waiters(struct pool *pool, enum status status, const char *sqlstate,
                         const char *reason)
{
	unsigned count = pool->waiting_count;
	while (count-- > 0 && !list_empty(&pool->waiters))
		fail_waiter(first_waiter(pool), status, sqlstate, reason);
}

static void on_opened(struct server *s, enum status status, void *arg)
{
	struct pool *pool = arg;
	char sqlstate[sizeof s->sqlstate], reason[sizeof s->error];
	if (status == ST_OK) {
		pool->totals.opened++;
		endpoint_admitted(pool->endpoint, pool->user, pool->database);
		offer(pool, s);
		return;
	}
	memcpy(sqlstate, s->sqlstate, sizeof sqlstate);
	memcpy(reason, s->error, sizeof reason);
	pool->totals.failures++;
	close_server(s);
	if (!refusal_proves_life(sqlstate))
		endpoint_report(pool->endpoint, false, reason);
	if (pool->lent_count + pool->opening_count > 0)
		return;
	fail_waiters(pool, ST_ESERVER, sqlstate, reason);
	if (servers(pool) == 0 && pool->waiting_count == 0)
		forget(pool);
}

static void open_for_waiters(struct pool *pool)
{
	while (pool->opening_count < pool->waiting_count && servers(pool) < config_of(pool)->size) {
		struct server *s = server_open(pool->endpoint, pool->user, pool->database,
		                               config_of(pool)->connect_timeout, on_opened, pool);
		if (!s)
			return; /* out of memory: the waiters' deadlines stand */
		s->pool = pool;
		list_push_front(&pool->opening, &s->link);
		pool->opening_count++;
	}
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct pool_waiter *w = LIST_ENTRY(timer, struct pool_waiter, deadline);
	w->pool->totals.timeouts++;
	fail_waiter(w, ST_TIMEOUT, "53300", "no server connection became free in time");
}

void pool_acquire(struct pool *pool, struct pool_waiter *w, double timeout, pool_acquired_fn *fn)
{
	w->fn = fn;
	w->pool = NULL;
	if (!list_empty(&pool->idle)) {
		lend(pool, LIST_ENTRY(pool->idle.next, struct server, link), w);
		return;
	}
	w->pool = pool;
	list_push_back(&pool->waiters, &w->link);
	pool->waiting_count++;
	pool->endpoint->waiting++;
	ev_timer_init(&w->deadline, on_deadline, timeout, 0);
	ev_timer_start(loop_of(pool), &w->deadline);
	open_for_waiters(pool);
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
	if (reusable && !pool->closing && !lived_enough(s, clock_now())) {
		offer(pool, s);
		return;
	}
	close_server(s);
	if (pool->closing && servers(pool) == 0)
		forget(pool);
	else
		open_for_waiters(pool);
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
	ev_init(&pool->reaper, on_reaper);
	pool->key_size = key_size;
	memcpy(pool->key, key, key_size);
	const char *second = pool->key + strlen(pool->key) + 1;
	pool->user = *pool->key == '+' ? pool->key + 1 : NULL;
	pool->database = *second == '+' ? second + 1 : NULL;
	HASH_ADD(hh, endpoint->pools, key, key_size, pool);
	return pool;
}

struct pool *pool_of(struct endpoint *endpoint, const char *user, const char *database)
{
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
	return pool;
}

struct pool_stats pool_stats(const struct pool *pool)
{
	struct pool_stats stats = pool->totals;
	stats.size = config_of(pool)->size;
	stats.idle = pool->idle_count;
	stats.lent = pool->lent_count;
	stats.opening = pool->opening_count;
	stats.waiting = pool->waiting_count;
	return stats;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	pool->closing = true;
	fail_waiters(pool, ST_CLOSED, "57P01", "the pool was closed");
	LIST_EACH (&pool->idle, link)
		close_server(LIST_ENTRY(link, struct server, link));
	LIST_EACH (&pool->opening, link)
		close_server(LIST_ENTRY(link, struct server, link));
	if (servers(pool) == 0)
		forget(pool);
}
