/* server.h - one connection of ours to PostgreSQL.
 *
 * libpq opens it on the loop (TLS, SCRAM, certificates, .pgpass are its business). Then either the
 * router carries raw bytes over the same socket, through `stream`, and never calls libpq's I/O
 * again; or exec.h runs queries through libpq's asynchronous API. Not both on one server. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_SERVER_H
#define MOONGATE_CLUSTER_SERVER_H

#include "base/list.h"
#include "base/status.h"
#include "cluster/context.h"
#include "cluster/stream.h"

#include <libpq-fe.h>
#include <stdbool.h>

struct conninfo;
struct endpoint;
struct pool;
struct server;

/* OPENING -> IDLE <-> LENT, and from each of them -> CLOSED. */
enum server_state { SERVER_OPENING, SERVER_IDLE, SERVER_LENT, SERVER_CLOSED, SERVER_STATES };

/* Runs exactly once per server_open() that was not closed before; never inside of it. When `status`
 * is not ST_OK, server_error() and server_sqlstate() say why, and the callee frees the server. */
typedef void server_opened_fn(struct server *server, enum status status, void *arg);

/* Something happened on the socket: EV_READ, EV_WRITE. */
typedef void server_event_fn(struct server *server, int events);

struct server {
	enum server_state state;
	struct context *context;
	struct endpoint *endpoint; /* not owned */
	struct pool *pool;         /* not owned; NULL: it belongs to no pool */
	bool counted;              /* in endpoint->in_flight, though it belongs to no pool */
	struct list link;          /* in its pool's list for this state */
	PGconn *conn;
	struct stream stream;      /* raw bytes, once open */
	ev_io reader, writer;      /* reader runs while the server is open, but see below */
	server_event_fn *on_event; /* whoever holds the server */
	void *holder;
	double opened, released; /* when */
	unsigned addresses;      /* addresses_epoch() when it was last known to go to one of them */
	double expires;          /* when it is closed as it comes back; INFINITY: never */
	struct opening *opening; /* while OPENING */
	char sqlstate[6];        /* of what went wrong last; "" where PostgreSQL sent none */
	char error[256];         /* one line, no secrets */
	void *session;           /* what the router or prepared.h knows of it; NULL: nothing */
	void (*session_free)(void *session);
	void *cancel; /* a cancel request under way for it, of the router's */
};

/* Starts to connect. `user` and `database` apply where the endpoint's URL names none; NULL leaves
 * libpq's defaults. NULL: out of memory. */
struct server *server_open(struct endpoint *endpoint, const char *user, const char *database,
                           double timeout, server_opened_fn *fn, void *arg) MUST_CHECK;

/* The same for a server that is no pool's and has a single user, from here to server_free(): it
 * counts in endpoint->in_flight. `extras` are keywords for libpq, see struct conninfo_login. */
struct server *server_open_own(struct endpoint *endpoint, const char *user, const char *database,
                               const char *extras, double timeout, server_opened_fn *fn,
                               void *arg) MUST_CHECK;

/* Closes and frees, in any state; NULL is fine. Sends Terminate where that does not block, and
 * where the connection is not that of a process that this one was forked from. */
void server_free(struct server *server);

/* In the middle of a statement that nobody waits for any more: PostgreSQL is told to stop. All that
 * is left to do with the server is to free it. */
void server_give_up(struct server *server);

/* Whether it goes where its endpoint's name leads now. */
bool server_is_current(struct server *server);

/* From libpq's message to server->error and server->sqlstate. */
void server_note_error(struct server *server);

/* Hands the server's events to `fn`, with server->holder = `holder`. */
void server_hold(struct server *server, server_event_fn *fn, void *holder);

/* Whether to hear of EV_WRITE too. */
void server_want_write(struct server *server, bool want);

/* Whether to hear of EV_READ; who does not must wish to again before it gives the server away. */
void server_want_read(struct server *server, bool want);

#endif
