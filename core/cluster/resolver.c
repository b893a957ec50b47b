/* resolver.c - see resolver.h.
 *
 * Each query has a c-ares channel of its own: it can be cancelled alone, and resolv.conf and
 * /etc/hosts are read anew. c-ares's callbacks only note the answer; the query's timer delivers it,
 * so that the borrower may free everything from its callback. */
/* SPDX-License-Identifier: MIT */
#include "cluster/resolver.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/list.h"
#include "cluster/alarms.h"
#include "cluster/context.h"

#include <ares.h>
#include <arpa/inet.h>
#include <limits.h>
#include <math.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define QUERY_TIMEOUT 5.0  /* s in all */
#define TRY_TIMEOUT   1000 /* ms for the first try, doubled for each further one */
#define TRIES         3

struct resolver {
	const struct context *context;
	struct list queries;
	char *servers; /* NULL: those of resolv.conf */
};

/* Unanswered until `status` is not ST_AGAIN. */
struct resolver_query {
	struct resolver *resolver; /* NULL while the callback runs */
	struct list link;
	resolved_fn *fn;
	void *arg;
	ares_channel channel; /* NULL: nothing to ask */
	struct list sockets;
	ev_timer timer; /* unanswered: c-ares's next step or the deadline; answered: delivery */
	double deadline;
	enum status status;
	struct buffer addresses; /* NUL-terminated */
	double ttl;
	char reason[384];
	char host[];
};

/* One of c-ares's sockets. */
struct watch {
	struct list link;
	ev_io io;
	struct resolver_query *query;
};

static struct ev_loop *loop_of(const struct resolver_query *q)
{
	return q->resolver->context->loop;
}

static void watch_free(struct watch *w)
{
	ev_io_stop(loop_of(w->query), &w->io);
	list_remove(&w->link);
	free(w);
}

/* Gives back all but the answer. */
static void stop(struct resolver_query *q)
{
	if (q->channel)
		ares_destroy(q->channel);
	q->channel = NULL;
	LIST_EACH (&q->sockets, link)
		watch_free(LIST_ENTRY(link, struct watch, link));
	ev_timer_stop(loop_of(q), &q->timer);
	list_remove(&q->link);
}

static void query_free(struct resolver_query *q)
{
	buffer_free(&q->addresses);
	free(q);
}

static void fail(struct resolver_query *q, enum status status, const char *why)
{
	q->status = status;
	snprintf(q->reason, sizeof q->reason, "could not resolve \"%.255s\": %s", q->host, why);
}

static void deliver(struct resolver_query *q)
{
	stop(q);
	q->resolver = NULL;
	struct resolved answer = {.reason = q->reason};
	if (q->status == ST_OK)
		answer = (struct resolved){.addresses = (const char *)buffer_data(&q->addresses),
		                           .ttl = q->ttl};
	q->fn(q->status, &answer, q->arg);
	query_free(q);
}

/* Sets the timer to what comes next. */
static void schedule(struct resolver_query *q)
{
	double wait = 0;
	if (q->status == ST_AGAIN) {
		struct timeval tv, *step = ares_timeout(q->channel, NULL, &tv);
		wait = q->deadline - clock_now();
		if (step && (double)step->tv_sec + (double)step->tv_usec * 1e-6 < wait)
			wait = (double)step->tv_sec + (double)step->tv_usec * 1e-6;
	}
	ev_timer_stop(loop_of(q), &q->timer);
	ev_timer_set(&q->timer, wait > 0 ? wait : 0, 0);
	alarm_start(q->resolver->context, &q->timer);
}

static void process(struct resolver_query *q, ares_socket_t readable, ares_socket_t writable)
{
	ares_process_fd(q->channel, readable, writable);
	schedule(q);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct resolver_query *q = timer->data;
	if (q->status == ST_AGAIN && clock_now() >= q->deadline)
		fail(q, ST_TIMEOUT, "the name servers did not answer in time");
	if (q->status == ST_AGAIN)
		process(q, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	else
		deliver(q);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	struct watch *w = io->data;
	ares_socket_t fd = io->fd;
	/* `w` may be gone after this: c-ares closes sockets when it is done with them. */
	process(w->query, events & EV_READ ? fd : ARES_SOCKET_BAD,
	        events & EV_WRITE ? fd : ARES_SOCKET_BAD);
}

static struct watch *watch_of(struct resolver_query *q, ares_socket_t fd)
{
	LIST_EACH (&q->sockets, link) {
		struct watch *w = LIST_ENTRY(link, struct watch, link);
		if (w->io.fd == fd)
			return w;
	}
	struct watch *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	ev_io_init(&w->io, on_io, fd, 0);
	w->io.data = w;
	w->query = q;
	list_push_back(&q->sockets, &w->link);
	return w;
}

static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct resolver_query *q = data;
	struct watch *w = watch_of(q, fd);
	if (!w) /* out of memory: the deadline ends the query */
		return;
	if (!readable && !writable) {
		watch_free(w);
		return;
	}
	ev_io_stop(loop_of(q), &w->io);
	ev_io_set(&w->io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	ev_io_start(loop_of(q), &w->io);
}

static enum status append_address(struct buffer *to, const struct ares_addrinfo_node *node)
{
	char text[1 + INET6_ADDRSTRLEN] = ",";
	const void *address =
	        node->ai_family == AF_INET6
	                ? (void *)&((struct sockaddr_in6 *)(void *)node->ai_addr)->sin6_addr
	                : (void *)&((struct sockaddr_in *)(void *)node->ai_addr)->sin_addr;
	if (!inet_ntop(node->ai_family, address, text + 1, sizeof text - 1))
		return ST_OK; /* of no family that we know: passed over */
	const char *from = buffer_size(to) ? text : text + 1;
	return buffer_append(to, from, strlen(from));
}

static enum status format_addresses(struct buffer *to, const struct ares_addrinfo *info)
{
	for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
		if (append_address(to, node) != ST_OK)
			return ST_ENOMEM;
	return buffer_append(to, "", 1);
}

static double shortest_ttl(const struct ares_addrinfo *info)
{
	int least = INT_MAX;
	for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
		least = node->ai_ttl < least ? node->ai_ttl : least;
	return info->nodes && least > 0 ? least : 0;
}

static enum status status_of(int ares_status)
{
	switch (ares_status) {
	case ARES_ENOMEM:
		return ST_ENOMEM;
	case ARES_ETIMEOUT:
		return ST_TIMEOUT;
	default:
		return ST_ESERVER;
	}
}

static void on_resolved(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	(void)timeouts;
	struct resolver_query *q = arg;
	if (status == ARES_EDESTRUCTION) /* from stop() */
		return;
	if (status != ARES_SUCCESS)
		fail(q, status_of(status), ares_strerror(status));
	else if (!info->nodes)
		fail(q, ST_ESERVER, "it has no address");
	else if (format_addresses(&q->addresses, info) != ST_OK)
		fail(q, ST_ENOMEM, status_name(ST_ENOMEM));
	else
		q->status = ST_OK;
	if (q->status == ST_OK)
		q->ttl = shortest_ttl(info);
	ares_freeaddrinfo(info);
}

static int open_channel(struct resolver_query *q)
{
	struct ares_options options = {.timeout = TRY_TIMEOUT,
	                               .tries = TRIES,
	                               .sock_state_cb = on_socket_state,
	                               .sock_state_cb_data = q};
	int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
	int status = ares_init_options(&q->channel, &options, mask);
	if (status == ARES_SUCCESS && q->resolver->servers)
		status = ares_set_servers_ports_csv(q->channel, q->resolver->servers);
	return status;
}

/* What libpq itself would take for an address, such as one with a zone: fe80::1%eth0. */
static bool is_numeric(const char *host)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
	struct addrinfo *info = NULL;
	bool numeric = getaddrinfo(host, NULL, &hints, &info) == 0;
	if (numeric)
		freeaddrinfo(info);
	return numeric;
}

static void ask(struct resolver_query *q)
{
	if (is_numeric(q->host)) {
		q->ttl = INFINITY;
		q->status = buffer_append(&q->addresses, q->host, strlen(q->host) + 1);
		if (q->status != ST_OK)
			fail(q, ST_ENOMEM, status_name(ST_ENOMEM));
		return;
	}
	int status = open_channel(q);
	if (status != ARES_SUCCESS) {
		fail(q, status_of(status), ares_strerror(status));
		return;
	}
	/* Sorted as getaddrinfo() sorts, that is, as libpq would have tried them. */
	struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	ares_getaddrinfo(q->channel, q->host, NULL, &hints, on_resolved, q);
}

struct resolver *resolver_new(const struct context *context)
{
	struct resolver *r = malloc(sizeof *r);
	if (!r || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(r);
		return NULL;
	}
	*r = (struct resolver){.context = context};
	list_init(&r->queries);
	const char *servers = getenv("MOONGATE_DNS");
	if (servers && *servers && resolver_set_servers(r, servers) != ST_OK) {
		resolver_free(r);
		return NULL;
	}
	return r;
}

enum status resolver_set_servers(struct resolver *r, const char *servers)
{
	char *copy = strdup(servers);
	if (!copy)
		return ST_ENOMEM;
	free(r->servers);
	r->servers = copy;
	return ST_OK;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	LIST_EACH (&r->queries, link)
		resolver_cancel(LIST_ENTRY(link, struct resolver_query, link));
	ares_library_cleanup();
	free(r->servers);
	free(r);
}

struct resolver_query *resolver_start(struct resolver *r, const char *host, resolved_fn *fn,
                                      void *arg)
{
	size_t size = strlen(host) + 1;
	struct resolver_query *q = calloc(1, sizeof *q + size);
	if (!q)
		return NULL;
	q->resolver = r;
	q->fn = fn;
	q->arg = arg;
	q->status = ST_AGAIN;
	q->deadline = clock_now() + QUERY_TIMEOUT;
	memcpy(q->host, host, size);
	list_init(&q->sockets);
	list_push_back(&r->queries, &q->link);
	ev_init(&q->timer, on_timer);
	q->timer.data = q;
	ask(q);
	schedule(q);
	return q;
}

void resolver_cancel(struct resolver_query *query)
{
	if (!query || !query->resolver)
		return;
	stop(query);
	query_free(query);
}
