/* timeouts.c - see timeouts.h. */
/* SPDX-License-Identifier: MIT */
#include "router/timeouts.h"

#include "base/clock.h"
#include "router/cancel.h"
#include "router/evacuate.h"
#include "router/pins.h"
#include "router/relay.h"

#define TICK          0.25 /* s */
#define LOGIN_TIMEOUT 60   /* s until the startup packet must be there */
#define CLOSE_TIMEOUT 30   /* s until a client must have taken our last words */
#define CANCEL_GRACE  5    /* s that a cancelled statement may still take */
#define PINS_EVERY    60   /* s between two reports of pins and of failures */
#define ENDS_AT_ONCE  100  /* clients in one tick: the rest goes in the next */

static bool passed(double limit, double since, double now)
{
	return limit > 0 && now - since >= limit;
}

/* True: the client is gone, or may be. */
static bool end(struct client *c, const char *sqlstate, const char *message)
{
	client_close(c, sqlstate, message, NULL);
	return true;
}

/* Whether something that may have written awaits its answer. */
static bool wrote(const struct exchange *x)
{
	for (unsigned i = 0; i < x->outstanding; i++)
		if (x->flags[(x->first + i) % RELAY_PIPELINE] & BATCH_WRITE)
			return true;
	return false;
}

/* Of the answer that is awaited: the shorter one of the configured limit and the policy's. */
static double query_limit(const struct client *c, const struct exchange *x)
{
	double limit = c->config->query_timeout, own = x->timeouts[x->first];
	return own > 0 && (limit <= 0 || own < limit) ? own : limit;
}

static bool check_query(struct client *c, struct exchange *x, double now)
{
	double limit = x->outstanding ? query_limit(c, x) : 0;
	if (!passed(limit, x->batch_since, now))
		return false;
	if (x->timed_out && passed(limit + CANCEL_GRACE, x->batch_since, now))
		return end(c, wrote(x) ? "08007" : "57014",
		           "the server has not cancelled a statement after query_timeout");
	if (!x->timed_out)
		cancel_exchange(c->worker, x);
	x->by_policy = limit == x->timeouts[x->first];
	x->timed_out = true;
	return false;
}

static bool check_block(struct client *c, const struct exchange *x, double now)
{
	const struct session_config *config = c->config;
	if (x->status == 'I')
		return false;
	if (passed(config->transaction_timeout, x->block_since, now))
		return end(c, "25P04", "terminating connection due to transaction timeout");
	if (!x->outstanding && passed(config->idle_transaction_timeout, x->idle_since, now))
		return end(c, "25P03", "terminating connection due to idle-in-transaction timeout");
	return false;
}

static bool check_ready(struct client *c, double now)
{
	struct exchange *x = c->exchange;
	if (c->block.state != BLOCK_NONE && !relay_busy(c) &&
	    passed(c->config->idle_transaction_timeout, c->heard, now))
		return end(c, "25P03", "terminating connection due to idle-in-transaction timeout");
	if (x && x->server &&
	    (evacuate_read(x) || check_block(c, x, now) || check_query(c, x, now)))
		return true;
	bool at_rest = !relay_busy(c) && (!x || x->status == 'I');
	if (!c->home && at_rest && c->block.state == BLOCK_NONE)
		return end(c, "57P01", CLIENT_NOT_SERVED);
	if (at_rest && passed(c->config->client_idle_timeout, c->heard, now))
		return end(c, "57P05", "terminating connection due to idle-session timeout");
	return false;
}

/* Who waits is not read from; and nothing is to be done for somebody who has given up. */
static bool check_held(struct client *c)
{
	const struct exchange *x = c->exchange;
	if (!x || x->server || !x->dispatch.cluster || !x->dispatch.held || !client_has_left(c))
		return false;
	client_drop(c);
	return true;
}

static bool check(struct client *c, double now)
{
	bool waits = c->state == CLIENT_STARTING || c->state == CLIENT_CLOSING;
	double limit = c->state == CLIENT_STARTING ? LOGIN_TIMEOUT : CLOSE_TIMEOUT;
	if (check_held(c))
		return true;
	if (c->state == CLIENT_READY)
		return check_ready(c, now);
	if (!waits || !passed(limit, c->heard, now))
		return false;
	client_drop(c);
	return true;
}

/* The end of one client, or its going on elsewhere, may be the end of others: the list is begun
 * anew. */
static bool end_one(struct worker *w)
{
	LIST_EACH (&w->clients, link)
		if (check(LIST_ENTRY(link, struct client, link), w->tick))
			return true;
	return false;
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct worker *w = LIST_ENTRY(timer, struct worker, ticker);
	w->tick = clock_now() - w->started;
	reload_reap(w);
	if (w->tick - w->pins_counted >= PINS_EVERY) {
		w->pins_counted = w->tick;
		pins_count(w);
		worker_tell_counts(w);
	}
	evacuate_queues(w);
	for (int i = 0; i < ENDS_AT_ONCE && end_one(w); i++)
		continue;
}

void timeouts_init(struct worker *w)
{
	w->started = clock_now();
	ev_timer_init(&w->ticker, on_tick, TICK, TICK);
	ev_timer_start(w->context.loop, &w->ticker);
}

void timeouts_stop(struct worker *w)
{
	ev_timer_stop(w->context.loop, &w->ticker);
}
