/* listener.c - see listener.h. */
/* SPDX-License-Identifier: MIT */
#include "router/listener.h"

#include "router/client.h"
#include "router/worker.h"

#include <errno.h>
#include <netdb.h>
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

static void address_text(const struct sockaddr_storage *from, socklen_t size, char *out,
                         size_t room)
{
	char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
	getnameinfo((const struct sockaddr *)from, size, host, sizeof host, port, sizeof port,
	            NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(out, room, "%s:%s", host, port);
}

static enum status take_client(struct listener *l, int fd, const struct sockaddr_storage *from,
                               socklen_t size)
{
	char address[NI_MAXHOST + NI_MAXSERV];
	int on = 1;
	address_text(from, size, address, sizeof address);
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

/* "host:port" in its two halves, in place; false: it has no port. */
static bool split_address(char *address, char **host, char **port)
{
	char *colon = strrchr(address, ':');
	if (!colon || !colon[1])
		return false;
	*colon = '\0';
	*port = colon + 1;
	*host = address;
	size_t size = strlen(address);
	if (*address == '[' && size > 1 && address[size - 1] == ']') {
		address[size - 1] = '\0';
		*host = address + 1;
	}
	return true;
}

static int listen_on(const struct addrinfo *at)
{
	int on = 1, fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	int why = errno;
	close(fd);
	errno = why;
	return -1;
}

static int open_socket(const char *address, char *error, size_t error_size)
{
	char copy[NI_MAXHOST + NI_MAXSERV], *host, *port;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
	snprintf(copy, sizeof copy, "%s", address);
	if (!split_address(copy, &host, &port)) {
		snprintf(error, error_size, "cannot listen on \"%s\": expected HOST:PORT", address);
		return -1;
	}
	int failed = getaddrinfo(*host ? host : NULL, port, &hints, &found);
	if (failed) {
		snprintf(error, error_size, "cannot listen on \"%s\": %s", address,
		         gai_strerror(failed));
		return -1;
	}
	int fd = -1;
	for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
		fd = listen_on(at);
	if (fd < 0)
		snprintf(error, error_size, "cannot listen on \"%s\": %s", address,
		         strerror(errno));
	freeaddrinfo(found);
	return fd;
}

static void say_where(const struct listener *l)
{
	struct sockaddr_storage at;
	socklen_t size = sizeof at;
	char address[NI_MAXHOST + NI_MAXSERV];
	if (getsockname(l->fd, (struct sockaddr *)&at, &size) != 0)
		return;
	address_text(&at, size, address, sizeof address);
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
	l->fd = open_socket(address, error, error_size);
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
