/* server.c - opens a connection on the loop with libpq, then hands its events to whoever holds it.
 *
 * resolve the host (resolver.h) -> PQconnectStartParams -> PQconnectPoll until OK
 * libpq may change the socket between two polls, so its watcher is made anew each time; connect
 * timeouts are ours, since libpq enforces none in its non-blocking API. */
/* SPDX-License-Identifier: MIT */
#include "cluster/server.h"

#include "base/clock.h"
#include "base/list.h"
#include "cluster/addresses.h"
#include "cluster/alarms.h"
#include "cluster/cluster.h"
#include "cluster/conninfo.h"
#include "cluster/interrupt.h"
#include "cluster/notices.h"
#include "cluster/resolver.h"
#include "wire/startup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct opening {
	ev_timer deadline; /* runs out, or is started with 0 to report what failed at once */
	enum status failed;
	struct resolver_query *query;
	server_opened_fn *fn;
	void *arg;
	struct conninfo_login login; /* copies behind this struct */
};

static void on_connect_event(struct ev_loop *loop, ev_io *watcher, int events);

static void end_opening(struct server *s)
{
	struct opening *o = s->opening;
	if (!o)
		return;
	ev_timer_stop(s->context->loop, &o->deadline);
	resolver_cancel(o->query);
	free(o);
	s->opening = NULL;
}

static void report_opened(struct server *s, enum status status)
{
	server_opened_fn *fn = s->opening->fn;
	void *arg = s->opening->arg;
	end_opening(s);
	fn(s, status, arg);
}

/* Reports from the loop, so that server_open() has returned before its callback runs. */
static void fail_soon(struct server *s, enum status status)
{
	struct opening *o = s->opening;
	o->failed = status;
	ev_timer_stop(s->context->loop, &o->deadline);
	ev_timer_set(&o->deadline, 0, 0);
	alarm_start(s->context, &o->deadline);
}

static bool is_sqlstate(const char *text)
{
	for (int i = 0; i < 5; i++)
		if (!isdigit((unsigned char)text[i]) && !isupper((unsigned char)text[i]))
			return false;
	return true;
}

/* With PQERRORS_VERBOSE libpq's message ends `SEVERITY:  SQLSTATE: message\nLOCATION: ...`,
 * whatever the language of the severity. Without a report of PostgreSQL's it is libpq's own
 * sentence. */
void server_note_error(struct server *s)
{
	const char *message = PQerrorMessage(s->conn), *from = message;
	for (const char *p = strstr(message, ":  "); p; p = strstr(p + 1, ":  "))
		if (strlen(p) > 10 && is_sqlstate(p + 3) && p[8] == ':' && p[9] == ' ') {
			memcpy(s->sqlstate, p + 3, 5);
			from = p + 10;
		}
	snprintf(s->error, sizeof s->error, "%.*s", (int)strcspn(from, "\n"), from);
}

static void watch_connect(struct server *s, int events)
{
	ev_io_stop(s->context->loop, &s->reader);
	ev_io_init(&s->reader, on_connect_event, PQsocket(s->conn), events);
	ev_io_start(s->context->loop, &s->reader);
}

static void on_server_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	(void)loop;
	struct server *s = LIST_ENTRY(watcher, struct server, reader);
	s->on_event(s, events);
}

static void on_server_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	(void)loop;
	struct server *s = LIST_ENTRY(watcher, struct server, writer);
	s->on_event(s, events);
}

static void take_over(struct server *s)
{
	ev_io_stop(s->context->loop, &s->reader);
	PQsetnonblocking(s->conn, 1);
	stream_init(&s->stream, PQsocket(s->conn), PQsslStruct(s->conn, "OpenSSL"));
	ev_io_init(&s->reader, on_server_readable, PQsocket(s->conn), EV_READ);
	ev_io_init(&s->writer, on_server_writable, PQsocket(s->conn), EV_WRITE);
	s->opened = clock_now();
}

bool server_is_current(struct server *s)
{
	const struct addresses *a = s->endpoint->addresses;
	if (s->addresses == addresses_epoch(a))
		return true;
	if (!addresses_include(a, PQsocket(s->conn)))
		return false;
	s->addresses = addresses_epoch(a);
	return true;
}

static void poll_connect(struct server *s)
{
	switch (PQconnectPoll(s->conn)) {
	case PGRES_POLLING_READING:
		watch_connect(s, EV_READ);
		break;
	case PGRES_POLLING_WRITING:
		watch_connect(s, EV_WRITE);
		break;
	case PGRES_POLLING_OK:
		take_over(s);
		report_opened(s, ST_OK);
		break;
	default:
		ev_io_stop(s->context->loop, &s->reader);
		server_note_error(s);
		report_opened(s, ST_ESERVER);
	}
}

static void on_connect_event(struct ev_loop *loop, ev_io *watcher, int events)
{
	(void)loop;
	(void)events;
	poll_connect(LIST_ENTRY(watcher, struct server, reader));
}

/* Without one libpq fails as if the endpoint did not answer, and that would count against it. */
static bool out_of_descriptors(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE;
	close(fd);
	return false;
}

static void start_connect(struct server *s, const char *addresses)
{
	struct conninfo_params params;
	if (out_of_descriptors()) {
		memcpy(s->sqlstate, "53000", sizeof s->sqlstate);
		snprintf(s->error, sizeof s->error, "the router is out of file descriptors");
		fail_soon(s, ST_ENOMEM);
		return;
	}
	if (conninfo_params(s->endpoint->conninfo, &s->opening->login, addresses, &params))
		s->conn = PQconnectStartParams(params.keywords, params.values, 0);
	conninfo_params_free(&params);
	if (!s->conn) {
		snprintf(s->error, sizeof s->error, "out of memory");
		fail_soon(s, ST_ENOMEM);
		return;
	}
	PQsetErrorVerbosity(s->conn, PQERRORS_VERBOSE);
	PQsetNoticeReceiver(s->conn, notices_receive, s);
	if (PQstatus(s->conn) == CONNECTION_BAD) {
		server_note_error(s);
		fail_soon(s, ST_ESERVER);
		return;
	}
	watch_connect(s, EV_WRITE); /* as if PQconnectPoll() had said so, libpq 34.1 */
}

static void on_resolved(enum status status, const struct resolved *answer, void *arg)
{
	struct server *s = arg;
	s->opening->query = NULL;
	if (status == ST_OK) {
		addresses_heard(s->endpoint->addresses, answer);
		s->addresses = addresses_epoch(s->endpoint->addresses);
		start_connect(s, answer->addresses);
		return;
	}
	snprintf(s->error, sizeof s->error, "could not resolve host %s: %s", s->endpoint->host,
	         answer->reason);
	report_opened(s, ST_ESERVER);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)events;
	struct opening *o = LIST_ENTRY(timer, struct opening, deadline);
	struct server *s = timer->data;
	enum status status = o->failed;
	if (status == ST_OK) {
		status = ST_TIMEOUT;
		snprintf(s->error, sizeof s->error, "no connection within the connect timeout");
	}
	ev_io_stop(loop, &s->reader);
	report_opened(s, status);
}

static size_t size_of(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

static size_t size_of_list(const char *list)
{
	const char *at = list, *name, *value;
	if (!list)
		return 0;
	while (startup_next(&at, &name, &value))
		;
	return (size_t)(at - list) + 1;
}

static const char *copy_to(char **at, const char *text, size_t size)
{
	char *copy = *at;
	if (!text)
		return NULL;
	memcpy(copy, text, size);
	*at += size;
	return copy;
}

static struct opening *opening_new(const struct conninfo_login *login)
{
	size_t user = size_of(login->user), database = size_of(login->database),
	       extras = size_of_list(login->extras);
	struct opening *o = calloc(1, sizeof *o + user + database + extras);
	if (!o)
		return NULL;
	char *at = (char *)(o + 1);
	o->login.user = copy_to(&at, login->user, user);
	o->login.database = copy_to(&at, login->database, database);
	o->login.extras = copy_to(&at, login->extras, extras);
	return o;
}

static struct server *start_opening(struct endpoint *endpoint, const struct conninfo_login *login,
                                    double timeout, server_opened_fn *fn, void *arg)
{
	struct context *context = endpoint->cluster->context;
	struct server *s = context_is_own(context) ? calloc(1, sizeof *s) : NULL;
	if (!s)
		return NULL;
	*s = (struct server){.state = SERVER_OPENING, .context = context, .endpoint = endpoint};
	context->servers++;
	list_init(&s->link);
	s->opening = opening_new(login);
	if (!s->opening)
		goto fail;
	s->opening->fn = fn;
	s->opening->arg = arg;
	ev_timer_init(&s->opening->deadline, on_deadline, timeout, 0);
	s->opening->deadline.data = s;
	alarm_start(context, &s->opening->deadline);

	const char *host = conninfo_host_to_resolve(endpoint->conninfo);
	const char *broken = conninfo_reason(endpoint->conninfo);
	if (broken) {
		snprintf(s->error, sizeof s->error, "%s", broken);
		fail_soon(s, ST_ESERVER);
		return s;
	}
	if (!host) {
		start_connect(s, NULL);
		return s;
	}
	s->opening->query = resolver_start(context->resolver, host, on_resolved, s);
	if (s->opening->query)
		return s;
fail:
	server_free(s);
	return NULL;
}

struct server *server_open(struct endpoint *endpoint, const char *user, const char *database,
                           double timeout, server_opened_fn *fn, void *arg)
{
	const struct conninfo_login login = {.user = user, .database = database};
	return start_opening(endpoint, &login, timeout, fn, arg);
}

struct server *server_open_own(struct endpoint *endpoint, const char *user, const char *database,
                               const char *extras, double timeout, server_opened_fn *fn, void *arg)
{
	const struct conninfo_login login = {.user = user, .database = database, .extras = extras};
	struct server *s = start_opening(endpoint, &login, timeout, fn, arg);
	if (s) {
		s->counted = true;
		endpoint->in_flight++;
	}
	return s;
}

/* Whatever libpq and OpenSSL have to say goes nowhere; the parent's descriptor stays as it is. */
static void part_from(PGconn *conn)
{
	int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (PQsocket(conn) >= 0 && nowhere >= 0)
		dup3(nowhere, PQsocket(conn), O_CLOEXEC);
	if (nowhere >= 0)
		close(nowhere);
}

static void stop_watching(struct server *s)
{
	ev_io_stop(s->context->loop, &s->reader);
	ev_io_stop(s->context->loop, &s->writer);
}

static void quiet(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

void server_give_up(struct server *s)
{
	if (!s->conn || !context_is_own(s->context))
		return;
	stop_watching(s);
	PQsetNoticeReceiver(s->conn, quiet, NULL); /* in a thread of its own */
	interrupt(s->context, s->conn);
	s->conn = NULL;
}

void server_free(struct server *s)
{
	if (!s)
		return;
	if (s->counted)
		s->endpoint->in_flight--;
	end_opening(s);
	s->context->servers--;
	stop_watching(s);
	list_remove(&s->link);
	if (!context_is_own(s->context))
		part_from(s->conn);
	PQfinish(s->conn); /* sends Terminate; never blocks, the connection is in non-blocking mode
	                    */
	if (s->session)
		s->session_free(s->session);
	free(s);
}

void server_hold(struct server *s, server_event_fn *fn, void *holder)
{
	s->on_event = fn;
	s->holder = holder;
	ev_io_start(s->context->loop, &s->reader);
}

void server_want_write(struct server *s, bool want)
{
	if (want)
		ev_io_start(s->context->loop, &s->writer);
	else
		ev_io_stop(s->context->loop, &s->writer);
}

void server_want_read(struct server *s, bool want)
{
	if (want)
		ev_io_start(s->context->loop, &s->reader);
	else
		ev_io_stop(s->context->loop, &s->reader);
}
