/* bind_pool.c - what lua/moongate/pool.lua makes its pools of: the servers of a cluster's endpoints
 * for one intent, or of all its endpoints. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "cluster/alarms.h"
#include "cluster/pool.h"
#include "script/answer.h"
#include "script/blocking.h"
#include "script/flow_handle.h"
#include "script/patience.h"

#define LOOK_EACH 0.02 /* s; what comes back makes no event of its own */

enum who { WHO_READS, WHO_WRITES, WHO_ALL };

static const char *const whos[] = {"read", "write", "all", NULL};

/* Where there is only one endpoint it serves both. */
static bool serves(const struct cluster *c, const struct endpoint *e, enum who who)
{
	bool read = who == WHO_READS && c->endpoint_count > 1;
	return !e->absent && (who == WHO_ALL || (e->role == ROLE_REPLICA) == read);
}

static void add_stats(struct pool_stats *sum, struct endpoint *e)
{
	struct pool *pool = pool_of(e, NULL, NULL);
	if (!pool)
		return;
	struct pool_stats s = pool_stats(pool);
	sum->size += s.size;
	sum->idle += s.idle;
	sum->lent += s.lent;
	sum->opening += s.opening;
	sum->waiting += s.waiting;
	sum->opened += s.opened;
	sum->closed += s.closed;
	sum->acquired += s.acquired;
	sum->timeouts += s.timeouts;
	sum->failures += s.failures;
}

static void set_count(lua_State *L, const char *key, uint64_t count)
{
	lua_pushinteger(L, (lua_Integer)count);
	lua_setfield(L, -2, key);
}

/* core.pool_stats(cluster, "read" | "write" | "all"): over the replicas, or of the primary, or of
 * all. Makes the pools, so that they keep their min_idle from now on. */
static int stats(lua_State *L)
{
	struct cluster *c = check_cluster(L, 1)->cluster;
	enum who who = (enum who)luaL_checkoption(L, 2, NULL, whos);
	struct pool_stats sum = {0};
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (serves(c, c->endpoints[i], who))
			add_stats(&sum, c->endpoints[i]);
	lua_createtable(L, 0, 10);
	set_count(L, "size", sum.size);
	set_count(L, "idle", sum.idle);
	set_count(L, "lent", sum.lent);
	set_count(L, "opening", sum.opening);
	set_count(L, "waiting", sum.waiting);
	set_count(L, "opened", sum.opened);
	set_count(L, "closed", sum.closed);
	set_count(L, "acquired", sum.acquired);
	set_count(L, "timeouts", sum.timeouts);
	set_count(L, "failures", sum.failures);
	return 1;
}

/* core.pool_resize(cluster, who, size) */
static int resize(lua_State *L)
{
	struct cluster *c = check_cluster(L, 1)->cluster;
	enum who who = (enum who)luaL_checkoption(L, 2, NULL, whos);
	unsigned size = (unsigned)luaL_checkinteger(L, 3);
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (serves(c, c->endpoints[i], who))
			pools_resize(c->endpoints[i], size);
	return 0;
}

/* core.pool_drain() under way. */
struct drain_call {
	struct blocking blocking;
	const struct cluster_handle *h;
	uint64_t endpoints; /* those meant when it began: a bit each */
	double deadline;    /* INFINITY: none */
	ev_timer looks;
};

static unsigned lent(const struct drain_call *call)
{
	const struct cluster *c = call->h->cluster;
	unsigned sum = 0;
	for (size_t i = 0; i < c->endpoint_count; i++) {
		const struct endpoint *e = c->endpoints[i];
		const struct pool *pool = NULL;
		if (call->endpoints >> i & 1)
			while ((pool = pool_after(e, pool)))
				sum += pool_stats(pool).lent;
	}
	return sum;
}

static bool drained(const struct blocking *b)
{
	const struct drain_call *call = (const struct drain_call *)b;
	return !call->h->cluster || lent(call) == 0 || clock_now() >= call->deadline;
}

static int push_drained(lua_State *L, struct blocking *b)
{
	const struct drain_call *call = (const struct drain_call *)b;
	unsigned left = call->h->cluster ? lent(call) : 0;
	if (left > 0) {
		lua_pushfstring(L, "timeout: %d of the pool's connections are still lent",
		                (int)left);
		return push_failure(L, lua_tostring(L, -1), "57014", NULL);
	}
	lua_pushboolean(L, true);
	return 1;
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	alarm_again(LIST_ENTRY(timer, struct drain_call, looks)->blocking.context, timer);
}

static void drain_end(struct blocking *b)
{
	struct drain_call *call = (struct drain_call *)b;
	ev_timer_stop(b->context->loop, &call->looks);
}

/* Who waits for a server of this cluster, and has none yet, fails with this. */
static void turn_away(struct state *s, const struct cluster *c, const char *message)
{
	LIST_EACH (&s->waiting, link) {
		struct blocking *b = LIST_ENTRY(link, struct blocking, link);
		if (b->op.cluster == c && !b->op.server &&
		    operation_abort(&b->op, c, NULL, "57P01", message))
			blocking_finish(b);
	}
}

/* core.pool_drain(cluster, who, timeout?): no new work for those endpoints, and waits until what
 * they have lent has come back: true, or nil, message, code, fields. Of "all" those who wait for a
 * server are told so; of others they go elsewhere. */
static int drain(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	enum who who = (enum who)luaL_checkoption(L, 2, NULL, whos);
	double deadline = clock_now() + take_patience(L, 3, "pool:drain");
	struct drain_call *call = blocking_begin_on(L, h, sizeof *call, "pool:drain");
	call->h = h;
	call->deadline = deadline;
	call->blocking.end = drain_end;
	ev_timer_init(&call->looks, on_look, LOOK_EACH, LOOK_EACH);
	if (who == WHO_ALL)
		turn_away(h->state, h->cluster, "the pool is drained: it lends no more");
	for (size_t i = 0; i < h->cluster->endpoint_count; i++) {
		if (!serves(h->cluster, h->cluster->endpoints[i], who))
			continue;
		endpoint_drain(h->cluster->endpoints[i], true);
		call->endpoints |= UINT64_C(1) << i;
	}
	alarm_start(call->blocking.context, &call->looks);
	return blocking_await_poll(L, &call->blocking, drained, push_drained);
}

/* core.pool_close(cluster): all that is under way in the pool fails, and says that it was closed.
 */
static int close_pool(lua_State *L)
{
	const struct cluster_handle *h = check_cluster(L, 1);
	flow_handles_abort(h->state, h->cluster, NULL, "57P01", "the pool was closed");
	blocking_abort(h->state, h->cluster, NULL, "57P01", "the pool was closed");
	lua_getfield(L, 1, "close");
	lua_pushvalue(L, 1);
	lua_call(L, 1, 0);
	return 0;
}

void open_pool(lua_State *L)
{
	static const luaL_Reg functions[] = {{"pool_stats", stats},
	                                     {"pool_resize", resize},
	                                     {"pool_drain", drain},
	                                     {"pool_close", close_pool},
	                                     {NULL, NULL}};
	luaL_setfuncs(L, functions, 0);
}
