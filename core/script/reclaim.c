/* reclaim.c - see reclaim.h. */
/* SPDX-License-Identifier: MIT */
#include "script/reclaim.h"

#include "base/clock.h"
#include "cluster/alarms.h"

#include <math.h>

#define PAUSE 1.0  /* s, at least, after a collection that was of no use; and: */
#define SHARE 0.05 /* of the time is what such collections may take */

/* How many handles hold a server, or a part of a connection's. */
static unsigned held(const struct state *s)
{
	unsigned count = s->lent;
	LIST_EACH (&s->flows, link)
		count++;
	return count;
}

static bool is_short(const struct blocking *b)
{
	return !b->done && pool_is_short(&b->op.dispatch.waiter);
}

static bool some_are_short(const struct state *s)
{
	LIST_EACH (&s->waiting, link)
		if (is_short(LIST_ENTRY(link, struct blocking, link)))
			return true;
	return false;
}

/* Finalizers run in it: of moongate's handles, which do not wait; and the application's, which may
 * do anything, as they may at any other time. */
static void collect(struct state *s)
{
	unsigned before = held(s);
	double begun = clock_now();
	if (before == 0 || begun < s->reclaim_at)
		return;
	s->reclaim_at = INFINITY; /* not inside of itself */
	lua_gc(s->thread, LUA_GCCOLLECT);
	double now = clock_now();
	s->reclaim_at = held(s) < before ? now : now + fmax(PAUSE, (now - begun) / SHARE);
}

static void look_again(struct state *s)
{
	double pause = s->reclaim_at - clock_now();
	if (ev_is_active(&s->reclaim))
		return;
	ev_timer_set(&s->reclaim, isfinite(pause) ? fmax(PAUSE, pause) : PAUSE, 0);
	alarm_start(s->context, &s->reclaim);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct state *s = LIST_ENTRY(timer, struct state, reclaim);
	(void)loop;
	(void)events;
	if (some_are_short(s))
		collect(s);
	if (some_are_short(s))
		look_again(s);
}

void reclaim(struct blocking *b)
{
	if (!is_short(b))
		return;
	collect(b->state);
	if (is_short(b))
		look_again(b->state);
}

void reclaim_init(struct state *s)
{
	ev_timer_init(&s->reclaim, on_time, PAUSE, 0);
	s->reclaim_at = 0;
}

void reclaim_stop(struct state *s)
{
	if (ev_is_active(&s->reclaim)) /* else the loop may be gone */
		ev_timer_stop(s->context->loop, &s->reclaim);
}
