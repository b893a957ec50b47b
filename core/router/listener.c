/* listener.c - see listener.h. */
/* SPDX-License-Identifier: MIT */
#include "router/listener.h"

#include "router/address.h"
#include "router/client.h"
#include "router/worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_AT_ONCE 64
#define PAUSE           0.1 /* s without accepting, when something has run out */
#define CALM            1.0 /* s of accepting again, before that is said to be over */

/* OPEN --something has run out--> PAUSED <--again-- RECOVERING --nobody was held up for a while-->
 * OPEN
 *                                        --PAUSE-->
 * The log has one line when OPEN is left, and one when it is reached again. */
struct listener {
	struct worker *worker;
	int fd;
	enum { LISTENER_OPEN, LISTENER_PAUSED, LISTENER_RECOVERING } state;
	ev_io acceptor;
	ev_timer timer; /* ends PAUSED, then RECOVERING */
};

static enum status take_client(struct listener *l, int fd, const struct sockaddr_storage *from,
                               socklen_t size)
{
	char address[ADDRESS_TEXT];
	int on = 1;
	address_text(from, size, address);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	enum status status = client_new(l->worker, fd, address);
	if (status != ST_OK)
		close(fd);
	return status;
}

static void start_timer(struct listener *l, double seconds)
{
	ev_timer_stop(l->worker->context.loop, &l->timer);
	ev_timer_set(&l->timer, seconds, 0);
	ev_timer_start(l->worker->context.loop, &l->timer);
}

static void pause_accepting(struct listener *l, const char *reason)
{
	if (l->state == LISTENER_OPEN)
		log_error(&l->worker->context.log,
		          "cannot accept clients for now; they have to wait",
		          LOG_T("reason", reason), LOG_N("clients", l->worker->client_count),
		          LOG_N("limit", l->worker->descriptors.limit));
	l->state = LISTENER_PAUSED;
	ev_io_stop(l->worker->context.loop, &l->acceptor);
	start_timer(l, PAUSE);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)events;
	struct listener *l = LIST_ENTRY(timer, struct listener, timer);
	if (l->state == LISTENER_PAUSED) {
		l->state = LISTENER_RECOVERING;
		ev_io_start(loop, &l->acceptor);
		start_timer(l, CALM);
		return;
	}
	l->state = LISTENER_OPEN;
	log_info(&l->worker->context.log, "clients are accepted again",
	         LOG_N("clients", l->worker->client_count));
}

static bool is_lack(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* One client from the kernel's queue; false: enough for now. */
static bool accept_one(struct listener *l)
{
	struct sockaddr_storage from;
	socklen_t size = sizeof from;
	if (descriptors_short(l->worker)) {
		pause_accepting(l, "the descriptors that are left are for servers");
		return false;
	}
	int fd = accept4(l->fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int error = errno;
	if (fd < 0) {
		if (is_lack(error))
			pause_accepting(l, strerror(error));
		return error == ECONNABORTED || error == EINTR;
	}
	if (take_client(l, fd, &from, size) == ST_OK)
		return true;
	pause_accepting(l, "out of memory");
	return false;
}

static void on_acceptable(struct ev_loop *loop, ev_io *watcher, int events)
{
	(void)loop;
	(void)events;
	struct listener *l = LIST_ENTRY(watcher, struct listener, acceptor);
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++)
		if (!accept_one(l))
			return;
}

static void say_where(const struct listener *l)
{
	char address[ADDRESS_TEXT];
	if (address_of(l->fd, address))
		log_info(&l->worker->context.log, "listening", LOG_T("address", address));
}

struct listener *listener_new(struct worker *worker, const char *address, char *error,
                              size_t error_size)
{
	struct listener *l = calloc(1, sizeof *l);
	if (!l) {
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	l->worker = worker;
	l->fd = address_listen(address, error, error_size);
	if (l->fd < 0) {
		free(l);
		return NULL;
	}
	ev_io_init(&l->acceptor, on_acceptable, l->fd, EV_READ);
	ev_init(&l->timer, on_time);
	ev_io_start(worker->context.loop, &l->acceptor);
	say_where(l);
	return l;
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	ev_io_stop(l->worker->context.loop, &l->acceptor);
	ev_timer_stop(l->worker->context.loop, &l->timer);
	close(l->fd);
	free(l);
}
