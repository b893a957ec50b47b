/* http.c - see http.h.
 *
 * libmicrohttpd has an epoll descriptor of its own, which the loop watches as one; connections are
 * accepted here, so that a lack of descriptors makes them wait instead of making the loop spin. */
/* SPDX-License-Identifier: MIT */
#include "router/http.h"

#include "base/clock.h"
#include "base/list.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SWEEP 1.0 /* s between two looks at who is slow, while anybody is there */

struct http {
	struct ev_loop *loop;
	struct MHD_Daemon *daemon;
	int fd;
	ev_io acceptor; /* stopped: HTTP_CONNECTIONS are there, or something has run out */
	ev_io events;   /* the daemon's */
	ev_timer timer; /* the daemon's */
	ev_timer sweeper;
	struct list connections;
	unsigned count;
	bool retired;
	void (*free_arg)(void *arg); /* NULL: the owner's affair */
	http_handler *fn;
	void *arg;
};

struct connection {
	struct list link; /* in http->connections */
	int fd;           /* the daemon's */
	double since;
};

const char *http_header(const struct http_request *request, const char *name)
{
	struct MHD_Connection *connection = (void *)request->exchange;
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

const char *http_argument(const struct http_request *request, const char *name)
{
	struct MHD_Connection *connection = (void *)request->exchange;
	return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
}

/* What was written is the response's; NULL: out of memory. */
static struct MHD_Response *make_response(const struct http_response *r, char *body, size_t size)
{
	struct MHD_Response *made =
	        MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
	if (!made) {
		free(body);
		return NULL;
	}
	MHD_add_response_header(made, MHD_HTTP_HEADER_CONTENT_TYPE, r->type);
	MHD_add_response_header(made, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(made, MHD_HTTP_HEADER_CONNECTION, "close");
	if (r->allow)
		MHD_add_response_header(made, MHD_HTTP_HEADER_ALLOW, r->allow);
	return made;
}

static enum MHD_Result answer(struct http *h, struct MHD_Connection *connection, const char *path,
                              const char *method)
{
	char *body = NULL;
	size_t size = 0;
	const struct http_request request = {method, path, (void *)connection};
	struct http_response response = {.status = MHD_HTTP_OK, .type = "application/json"};
	response.body = open_memstream(&body, &size);
	if (!response.body)
		return MHD_NO;
	h->fn(&request, &response, h->arg);
	if (fclose(response.body) != 0) {
		free(body);
		return MHD_NO;
	}
	struct MHD_Response *made = make_response(&response, body, size);
	if (!made)
		return MHD_NO;
	enum MHD_Result queued = MHD_queue_response(connection, response.status, made);
	MHD_destroy_response(made);
	return queued;
}

/* Called once for the headers, then for each part of a body, then to be answered. `seen` counts
 * 1 and the body's bytes. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *part,
                                  size_t *part_size, void **seen)
{
	(void)version;
	(void)part;
	uintptr_t before = (uintptr_t)*seen;
	if (before && *part_size == 0)
		return answer(arg, connection, path, method);
	if (before + *part_size > HTTP_BODY)
		return MHD_NO;                           /* cuts it off */
	*seen = (void *)(before + *part_size + !before); /* NOLINT: a number, never followed */
	*part_size = 0;
	return MHD_YES;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **kept,
                          enum MHD_ConnectionNotificationCode code)
{
	struct http *h = arg;
	struct connection *c = *kept;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		c = calloc(1, sizeof *c);
		*kept = c;
		if (!c)
			return; /* the daemon's own timeout will do */
		c->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
		                ->connect_fd;
		c->since = clock_now();
		list_push_back(&h->connections, &c->link);
		h->count++;
	} else if (c) {
		list_remove(&c->link);
		free(c);
		h->count--;
		if (!h->retired)
			ev_io_start(h->loop, &h->acceptor);
	}
}

/* The daemon has done something: when does it want to be called next? */
static void arm(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG wait; /* ms */
	ev_timer_stop(h->loop, &h->timer);
	if (MHD_get_timeout(h->daemon, &wait) == MHD_YES) {
		ev_timer_set(&h->timer, (double)wait / 1000, 0);
		ev_timer_start(h->loop, &h->timer);
	}
	if (h->count || h->retired || !ev_is_active(&h->acceptor))
		ev_timer_start(h->loop, &h->sweeper);
}

static void run(struct http *h)
{
	MHD_run(h->daemon);
	arm(h);
}

static void on_events(struct ev_loop *loop, ev_io *watcher, int events)
{
	(void)loop;
	(void)events;
	run(LIST_ENTRY(watcher, struct http, events));
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int events)
{
	(void)loop;
	(void)events;
	run(LIST_ENTRY(watcher, struct http, timer));
}

static void on_acceptable(struct ev_loop *loop, ev_io *watcher, int events)
{
	(void)events;
	struct http *h = LIST_ENTRY(watcher, struct http, acceptor);
	struct sockaddr_storage from;
	socklen_t size = sizeof from;
	int fd = accept4(h->fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	if (fd >= 0) /* closed by the daemon where it cannot have it */
		MHD_add_connection(h->daemon, fd, (struct sockaddr *)&from, size);
	if (fd < 0 || h->count >= HTTP_CONNECTIONS)
		ev_io_stop(loop, &h->acceptor);
	run(h);
}

/* The daemon does not notice an end that came together with the last bytes. */
static bool has_left(const struct connection *c)
{
	char byte;
	return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* A peer that has had its time finds its connection shut; the daemon then ends it. */
static void on_sweep(struct ev_loop *loop, ev_timer *watcher, int events)
{
	(void)events;
	struct http *h = LIST_ENTRY(watcher, struct http, sweeper);
	double now = clock_now();
	LIST_EACH (&h->connections, link) {
		const struct connection *c = LIST_ENTRY(link, struct connection, link);
		if (now - c->since >= HTTP_SECONDS || has_left(c))
			shutdown(c->fd, SHUT_RDWR);
	}
	if (h->retired && h->count == 0) {
		http_free(h);
		return;
	}
	if (!h->retired && h->count < HTTP_CONNECTIONS)
		ev_io_start(loop, &h->acceptor);
	if (h->count == 0 && !h->retired)
		ev_timer_stop(loop, &h->sweeper);
}

struct http *http_new(struct ev_loop *loop, int fd, http_handler *fn, void *arg)
{
	struct http *h = calloc(1, sizeof *h);
	if (!h) {
		close(fd);
		return NULL;
	}
	h->loop = loop;
	h->fd = fd;
	h->fn = fn;
	h->arg = arg;
	list_init(&h->connections);
	ev_io_init(&h->acceptor, on_acceptable, fd, EV_READ);
	ev_init(&h->events, on_events);
	ev_init(&h->timer, on_timer);
	ev_timer_init(&h->sweeper, on_sweep, SWEEP, SWEEP);
	h->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
	                             on_request, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
	                             MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS,
	                             MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEAD,
	                             MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_SECONDS,
	                             MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
	if (!h->daemon) {
		http_free(h);
		return NULL;
	}
	ev_io_set(&h->events, MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
	          EV_READ);
	ev_io_start(loop, &h->events);
	ev_io_start(loop, &h->acceptor);
	return h;
}

static void stop_accepting(struct http *h)
{
	h->retired = true;
	ev_io_stop(h->loop, &h->acceptor);
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	stop_accepting(h);
	ev_io_stop(h->loop, &h->events);
	ev_timer_stop(h->loop, &h->timer);
	ev_timer_stop(h->loop, &h->sweeper);
	if (h->daemon)
		MHD_stop_daemon(h->daemon);
	if (h->free_arg)
		h->free_arg(h->arg);
	free(h);
}

void http_retire(struct http *h, void (*free_arg)(void *arg))
{
	h->free_arg = free_arg;
	stop_accepting(h);
	ev_timer_start(h->loop, &h->sweeper);
}
