/* replication.c - see replication.h. */
/* SPDX-License-Identifier: MIT */
#include "router/replication.h"

#include "base/clock.h"
#include "cluster/cluster.h"
#include "cluster/conninfo.h"
#include "cluster/refusal.h"
#include "cluster/server.h"
#include "router/cancel.h"
#include "router/client.h"
#include "router/login.h"
#include "router/welcome.h"
#include "wire/message.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY 0.1 /* s until a primary is looked for again */

enum state { CHOOSING, OPENING, STREAMING, ENDING };

struct replication {
	struct list link; /* in worker->replications */
	struct worker *worker;
	struct cluster *cluster; /* NULL: its database is not served any more */
	bool physical;
	enum state state;
	int fd;
	ev_io reader, writer;  /* the client's */
	ev_timer retry;        /* while CHOOSING */
	double deadline;       /* for a primary to be found */
	struct server *server; /* NULL: not yet, or no more */
	struct cancel_key key;
	struct buffer to_client; /* what each side does not take yet */
	struct buffer to_server;
	bool started;     /* it has been STREAMING */
	uint64_t failed;  /* endpoints that could not be reached, a bit each */
	char reason[256]; /* why the last of them could not */
	char *user, *database, *address;
	struct login login;
};

static void choose(struct replication *r);

static struct ev_loop *loop_of(const struct replication *r)
{
	return r->worker->context.loop;
}

static const struct log *log_of(const struct replication *r)
{
	return &r->worker->context.log;
}

static void close_server(struct replication *r)
{
	struct server *server = r->server;
	r->server = NULL;
	if (server && !cancel_keeps(server, false))
		server_free(server);
}

static void replication_free(struct replication *r)
{
	close_server(r);
	ev_timer_stop(loop_of(r), &r->retry);
	ev_io_stop(loop_of(r), &r->reader);
	ev_io_stop(loop_of(r), &r->writer);
	cancel_key_end(&r->worker->keys, &r->key);
	list_remove(&r->link);
	buffer_free(&r->to_client);
	buffer_free(&r->to_server);
	login_free(&r->login);
	if (r->fd >= 0)
		close(r->fd);
	free(r->user);
	free(r->database);
	free(r->address);
	free(r);
}

static void end(struct replication *r, const char *why)
{
	if (r->started)
		log_info(log_of(r), "replication ended", LOG_T("client", r->address),
		         LOG_T("reason", why));
	replication_free(r);
}

/* Sends what is in r->to_client, as far as the client takes it. False: `r` is gone. */
static bool flush_client(struct replication *r)
{
	size_t size = buffer_size(&r->to_client);
	ssize_t n = size ? send(r->fd, buffer_data(&r->to_client), size, MSG_NOSIGNAL) : 0;
	if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
		end(r, "the client's connection is lost");
		return false;
	}
	if (n > 0)
		buffer_consume(&r->to_client, (size_t)n);
	if (buffer_size(&r->to_client)) {
		ev_io_start(loop_of(r), &r->writer);
		return true;
	}
	ev_io_stop(loop_of(r), &r->writer);
	if (r->state == ENDING) {
		end(r, "the server has ended it");
		return false;
	}
	return true;
}

/* ENDING: the client takes what is left for it, and that was all. */
static void finish(struct replication *r)
{
	close_server(r);
	ev_timer_stop(loop_of(r), &r->retry);
	buffer_free(&r->to_server);
	r->state = ENDING;
	ev_io_start(loop_of(r), &r->reader);
	flush_client(r);
}

static void refuse(struct replication *r, const char *sqlstate, const char *message)
{
	log_info(log_of(r), "replication refused", LOG_T("client", r->address),
	         LOG_T("sqlstate", sqlstate), LOG_T("reason", message));
	if (message_error(&r->to_client, "FATAL", sqlstate, message, NULL) != ST_OK)
		buffer_free(&r->to_client);
	finish(r);
}

/* The server takes what was kept for it. What it cannot take any more is dropped: its end is read
 * soon, perhaps behind a last message. */
static void flush_server(struct replication *r)
{
	size_t sent = 0;
	enum status status = ST_OK;
	while (status == ST_OK && buffer_size(&r->to_server)) {
		status = stream_write(&r->server->stream, buffer_data(&r->to_server),
		                      buffer_size(&r->to_server), &sent);
		if (status == ST_OK)
			buffer_consume(&r->to_server, sent);
	}
	if (status != ST_OK && status != ST_AGAIN)
		buffer_free(&r->to_server);
	bool blocked = buffer_size(&r->to_server) > 0;
	server_want_write(r->server, blocked);
	if (blocked)
		ev_io_stop(loop_of(r), &r->reader);
	else
		ev_io_start(loop_of(r), &r->reader);
}

/* Reads go on while nothing is kept for the client; TLS may hold what the socket won't tell of. */
static void read_server(struct replication *r)
{
	struct stream *stream = &r->server->stream;
	if (buffer_size(&r->to_client)) {
		ev_io_stop(loop_of(r), &r->server->reader);
		return;
	}
	ev_io_start(loop_of(r), &r->server->reader);
	if (stream_pending(stream))
		ev_feed_fd_event(loop_of(r), stream->fd, EV_READ);
}

static void take_from_server(struct replication *r)
{
	size_t got = 0;
	uint8_t *bytes = r->worker->bytes;
	enum status status = stream_read(&r->server->stream, bytes, WORKER_BUFFER, &got);
	if (status == ST_AGAIN)
		return;
	if (status != ST_OK) {
		endpoint_lost(r->server->endpoint);
		finish(r);
		return;
	}
	if (buffer_append(&r->to_client, bytes, got) != ST_OK) {
		end(r, "out of memory");
		return;
	}
	if (flush_client(r))
		read_server(r);
}

static void on_server_event(struct server *server, int events)
{
	struct replication *r = server->holder;
	if (events & EV_WRITE)
		flush_server(r);
	else if (events & EV_READ)
		take_from_server(r);
}

static void take_from_client(struct replication *r)
{
	uint8_t *bytes = r->worker->bytes;
	ssize_t n = recv(r->fd, bytes, WORKER_BUFFER, 0);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0) {
		end(r, n ? "the client's connection is lost" : "the client has ended it");
		return;
	}
	if (r->state == ENDING)
		return;
	if (buffer_append(&r->to_server, bytes, (size_t)n) != ST_OK)
		end(r, "out of memory");
	else if (r->state == STREAMING)
		flush_server(r);
	else if (buffer_size(&r->to_server) >= WORKER_BUFFER)
		ev_io_stop(loop_of(r), &r->reader);
}

static void on_client_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	(void)loop;
	(void)events;
	take_from_client(LIST_ENTRY(watcher, struct replication, reader));
}

static void on_client_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	(void)loop;
	(void)events;
	struct replication *r = LIST_ENTRY(watcher, struct replication, writer);
	if (flush_client(r) && r->state == STREAMING)
		read_server(r);
}

static enum status greet(struct replication *r)
{
	uint8_t secret[CANCEL_SECRET_LONG];
	size_t size = cancel_key_secret(&r->worker->keys, &r->key, secret);
	enum status status = message_authenticated(&r->to_client);
	if (status == ST_OK)
		status = welcome_read_start(r->server, &r->to_client);
	if (status == ST_OK)
		status = message_key(&r->to_client, cancel_key_pid(&r->key), secret, size);
	if (status == ST_OK)
		status = message_ready(&r->to_client, 'I');
	return status;
}

static void begin_streaming(struct replication *r)
{
	r->state = STREAMING;
	r->started = true;
	log_info(log_of(r), "replication started", LOG_T("client", r->address),
	         LOG_T("endpoint", r->server->endpoint->name), LOG_T("user", r->user));
	if (greet(r) != ST_OK) {
		end(r, "out of memory");
		return;
	}
	server_hold(r->server, on_server_event, r);
	flush_server(r);
	if (flush_client(r))
		read_server(r);
}

/* As with pooled servers, what PostgreSQL itself refuses is the answer; while nobody answers, a
 * primary is looked for until the deadline. */
static void on_opened(struct server *server, enum status status, void *arg)
{
	struct replication *r = arg;
	struct endpoint *endpoint = server->endpoint;
	char sqlstate[sizeof server->sqlstate];
	if (status == ST_OK) {
		begin_streaming(r);
		return;
	}
	memcpy(sqlstate, server->sqlstate, sizeof sqlstate);
	snprintf(r->reason, sizeof r->reason, "%s", server->error);
	close_server(r);
	if (refusal_proves_life(sqlstate)) {
		refuse(r, sqlstate, r->reason);
		return;
	}
	/* Once is enough: what comes of further attempts here is no news of its health. */
	if (!(r->failed >> endpoint->index & 1))
		endpoint_unreachable(endpoint, sqlstate, r->reason);
	r->failed |= UINT64_C(1) << endpoint->index;
	r->state = CHOOSING;
	ev_timer_again(loop_of(r), &r->retry);
}

static bool open_server(struct replication *r, struct endpoint *endpoint)
{
	struct buffer extras = {0};
	const char *options = conninfo_get(endpoint->conninfo, "options");
	if (login_extras(&r->login, options, &extras) == ST_OK)
		r->server = server_open_own(endpoint, r->user, r->database,
		                            (const char *)buffer_data(&extras),
		                            r->cluster->pool.connect_timeout, on_opened, r);
	buffer_free(&extras);
	return r->server != NULL;
}

static void wait_for_primary(struct replication *r)
{
	char message[sizeof r->reason + 64];
	/* Without a database it is the cluster that is meant; probes need one, this is always
	 * there. */
	cluster_awaited(r->cluster, r->user, r->physical ? "postgres" : r->database);
	if (clock_now() < r->deadline) {
		ev_timer_again(loop_of(r), &r->retry);
		return;
	}
	snprintf(message, sizeof message, "no primary became available in time%s%s",
	         *r->reason ? ": " : "", r->reason);
	refuse(r, "57P03", message);
}

static void choose(struct replication *r)
{
	const struct demand demand = {.now = clock_now(), .last_write = -INFINITY};
	ev_timer_stop(loop_of(r), &r->retry);
	if (!r->cluster) {
		refuse(r, "57P01", CLIENT_NOT_SERVED);
		return;
	}
	struct endpoint *endpoint = route_pick(r->cluster->default_write, &demand);
	if (!endpoint || (r->failed && clock_now() >= r->deadline)) {
		wait_for_primary(r);
		return;
	}
	r->state = OPENING;
	if (!open_server(r, endpoint))
		refuse(r, "53200", "out of memory");
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	choose(LIST_ENTRY(timer, struct replication, retry));
}

static struct replication *replication_new(struct client *c, const struct startup *startup,
                                           const uint8_t *more, size_t size)
{
	struct replication *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->worker = c->worker;
	r->fd = -1;
	ev_io_init(&r->reader, on_client_readable, c->fd, EV_READ);
	ev_io_init(&r->writer, on_client_writable, c->fd, EV_WRITE);
	ev_timer_init(&r->retry, on_retry, 0, RETRY);
	list_init(&r->link);
	r->user = strdup(startup->user);
	r->database = strdup(startup->database);
	r->address = strdup(c->address);
	if (r->user && r->database && r->address && login_read(&r->login, startup) == ST_OK &&
	    buffer_append(&r->to_server, more, size) == ST_OK &&
	    message_negotiate(&r->to_client, startup) == ST_OK &&
	    cancel_key_give(&r->worker->keys, &r->key, CANCEL_REPLICATION) == ST_OK) {
		r->key.long_secret = startup_minor(startup) >= 2;
		return r;
	}
	replication_free(r);
	return NULL;
}

/* Physical replication is of no database, and pg_basebackup and pg_receivewal name "replication":
 * where the script has one cluster, that is meant. */
static struct cluster *find_cluster(const struct script *script, const char *database,
                                    bool physical)
{
	const struct script_cluster *found = script_cluster(script, database);
	if (!found && physical && script_cluster_count(script) == 1)
		found = script_cluster_at(script, 0);
	return found ? found->cluster : NULL;
}

void replication_find_homes(struct worker *w)
{
	LIST_EACH (&w->replications, link) {
		struct replication *r = LIST_ENTRY(link, struct replication, link);
		r->cluster = find_cluster(w->script, r->database, r->physical);
		r->failed = 0;
	}
}

void replication_begin(struct client *c, const struct startup *startup, const uint8_t *more,
                       size_t size)
{
	struct worker *w = c->worker;
	bool physical = startup->replication == REPLICATION_PHYSICAL;
	struct cluster *cluster = find_cluster(w->script, startup->database, physical);
	if (!cluster) {
		client_close(c, "3D000", "no cluster of the routing script serves this database",
		             physical ? "Name one of the script's databases with replication=true."
		                      : NULL);
		return;
	}
	struct replication *r = replication_new(c, startup, more, size);
	if (!r) {
		client_close(c, "53200", "out of memory", NULL);
		return;
	}
	r->cluster = cluster;
	r->physical = physical;
	r->deadline = clock_now() + cluster->pool.acquire_timeout;
	list_push_back(&w->replications, &r->link);
	r->fd = c->fd;
	c->fd = -1;
	client_drop(c);
	ev_io_start(loop_of(r), &r->reader);
	choose(r);
}

struct server *replication_server(struct cancel_key *key)
{
	struct replication *r = LIST_ENTRY(key, struct replication, key);
	return r->state == STREAMING ? r->server : NULL;
}

/* As much of it as the client takes at once. */
static void say_goodbye(struct replication *r)
{
	static const char why[] = "terminating connection due to administrator command";
	if (message_error(&r->to_client, "FATAL", "57P01", why, NULL) == ST_OK)
		send(r->fd, buffer_data(&r->to_client), buffer_size(&r->to_client), MSG_NOSIGNAL);
}

void replication_stop(struct worker *w)
{
	LIST_EACH (&w->replications, link) {
		struct replication *r = LIST_ENTRY(link, struct replication, link);
		if (r->state < STREAMING)
			say_goodbye(r);
		end(r, "the router is stopping");
	}
}
