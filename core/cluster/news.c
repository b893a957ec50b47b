/* news.c - see news.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/news.h"

#include "cluster/alarms.h"
#include "cluster/cluster.h"

#define AGAIN 0.1 /* s until what the listener itself has changed is told */

/* All that is told of, in one number. */
static unsigned look(const struct endpoint *e)
{
	return (unsigned)e->health.state | (unsigned)e->role << 4 | (unsigned)e->standing << 8 |
	       (unsigned)e->drained << 12 | (unsigned)e->read_only << 13 |
	       (unsigned)e->breaker.state << 16 | (unsigned)e->absent << 20;
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct cluster *c = LIST_ENTRY(timer, struct cluster, news.timer);
	c->news.telling = true;
	for (size_t i = 0; i < c->endpoint_count; i++) {
		struct endpoint *e = c->endpoints[i];
		unsigned now = look(e);
		if (now == e->told)
			continue;
		e->told = now;
		if (!e->absent)
			c->news.fn(e, c->news.arg);
	}
	c->news.telling = false;
}

void news_listen(struct cluster *c, endpoint_changed_fn *fn, void *arg)
{
	c->news.fn = fn;
	c->news.arg = arg;
	ev_init(&c->news.timer, on_time);
	news_catch_up(c);
}

void news_catch_up(struct cluster *c)
{
	for (size_t i = 0; i < c->endpoint_count; i++)
		c->endpoints[i]->told = look(c->endpoints[i]);
}

void news_note(struct cluster *c)
{
	if (!c->news.fn || ev_is_active(&c->news.timer))
		return;
	bool news = false;
	for (size_t i = 0; i < c->endpoint_count && !news; i++)
		news = look(c->endpoints[i]) != c->endpoints[i]->told;
	if (!news)
		return;
	ev_timer_set(&c->news.timer, c->news.telling ? AGAIN : 0, 0);
	alarm_start(c->context, &c->news.timer);
}

void news_stop(struct cluster *c)
{
	if (c->news.fn)
		ev_timer_stop(c->context->loop, &c->news.timer);
	c->news = (struct news){0};
}
