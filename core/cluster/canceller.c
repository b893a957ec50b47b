/* canceller.c - see canceller.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/canceller.h"

#include "base/thread.h"
#include "cluster/alarms.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PATIENCE 5.0 /* s that a request may be on its way after the answer */

/* One request; its thread and the canceller share it, and who leaves last frees it. */
struct delivery {
	PGcancel *request;
	int fd; /* eventfd: readable once it was delivered */
	atomic_bool left;
};

static void leave(struct delivery *d)
{
	if (!atomic_exchange(&d->left, true))
		return;
	PQfreeCancel(d->request);
	close(d->fd);
	free(d);
}

static void *deliver(void *arg)
{
	struct delivery *d = arg;
	char error[256];
	PQcancel(d->request, error, sizeof error);
	eventfd_write(d->fd, 1);
	leave(d);
	return NULL;
}

/* NULL: not now; out of memory, threads or descriptors. */
static struct delivery *delivery_start(PGconn *conn)
{
	struct delivery *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->request = PQgetCancel(conn);
	if (d->fd >= 0 && d->request && thread_start(deliver, d))
		return d;
	PQfreeCancel(d->request);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
	return NULL;
}

static struct ev_loop *loop_of(const struct canceller *c)
{
	return c->server->context->loop;
}

static void wait_for(struct canceller *c, double seconds)
{
	ev_timer_stop(loop_of(c), &c->timer);
	ev_timer_set(&c->timer, seconds, 0);
	alarm_start(c->server->context, &c->timer);
}

static void ask_later(struct canceller *c)
{
	/* In the end it is for rows that nobody takes. */
	static const double pauses[] = {0.05, 0.2, 1, 1, 1, 1, 1, 10};
	size_t last = sizeof pauses / sizeof *pauses - 1;
	wait_for(c, pauses[c->sent < last ? c->sent : last]);
	c->sent++;
}

static void end_delivery(struct canceller *c)
{
	if (!c->delivery)
		return;
	ev_io_stop(loop_of(c), &c->delivered);
	leave(c->delivery);
	c->delivery = NULL;
}

static void finish(struct canceller *c, bool sound)
{
	canceller_done_fn *fn = c->fn;
	canceller_stop(c);
	fn(c, sound);
}

static void on_delivered(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct canceller *c = LIST_ENTRY(watcher, struct canceller, delivered);
	(void)loop;
	(void)events;
	end_delivery(c);
	if (c->fn)
		finish(c, true);
	else
		ask_later(c);
}

static void await_delivery(struct canceller *c)
{
	ev_io_init(&c->delivered, on_delivered, c->delivery->fd, EV_READ);
	ev_io_start(loop_of(c), &c->delivered);
}

static void ask(struct canceller *c)
{
	c->delivery = delivery_start(c->server->conn);
	if (c->delivery)
		await_delivery(c);
	else
		ask_later(c);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct canceller *c = LIST_ENTRY(timer, struct canceller, timer);
	(void)loop;
	(void)events;
	if (c->fn)
		finish(c, false);
	else
		ask(c);
}

void canceller_start(struct canceller *c, struct server *server)
{
	if (c->server)
		return;
	*c = (struct canceller){.server = server};
	ev_init(&c->timer, on_time);
	ask(c);
}

bool canceller_answered(struct canceller *c, canceller_done_fn *fn)
{
	if (!c->server || !c->delivery) {
		canceller_stop(c);
		return true;
	}
	c->fn = fn;
	wait_for(c, PATIENCE);
	return false;
}

void canceller_move(struct canceller *to, struct canceller *from)
{
	*to = (struct canceller){
	        .server = from->server, .delivery = from->delivery, .sent = from->sent};
	if (!to->server)
		return;
	ev_init(&to->timer, on_time);
	if (to->delivery) {
		ev_io_stop(loop_of(from), &from->delivered);
		await_delivery(to);
	} else {
		wait_for(to, ev_timer_remaining(loop_of(from), &from->timer));
	}
	from->delivery = NULL;
	canceller_stop(from);
}

void canceller_stop(struct canceller *c)
{
	if (!c->server)
		return;
	ev_timer_stop(loop_of(c), &c->timer);
	end_delivery(c);
	c->server = NULL;
}
