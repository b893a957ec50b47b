/* moongate.h - PostgreSQL clusters for C programs: pools, health checks and replica routing, on the
 * program's own libev loop. The API of libmoongate; docs/embedding.md shows it at work.
 *
 *   struct moongate *m = moongate_new(EV_DEFAULT);
 *   struct moongate_cluster *c = moongate_open_env(m, error, sizeof error);
 *   moongate_query(c, &(struct moongate_statement){.sql = "select 1"}, on_done, NULL);
 *   ev_run(EV_DEFAULT_ 0);
 *
 * The loop is the program's: nothing here runs it, nor blocks. While a cluster is open its probes
 * keep ev_run() from returning, and the loop has to turn: what is not served in time looks late.
 *
 * Callbacks run from the loop, never inside of a call of this API (but for moongate_free(), see
 * there), each exactly once. Anything may be called in them: new queries, cancelling others,
 * closing the cluster, moongate_free().
 *
 * Ownership: strings and structs that are passed in are copied before the call returns. Pointers in
 * structs that come back are good as long as their comments say.
 *
 * Threads: a context and all that is made of it belong to one thread, the loop's. Several contexts
 * in several threads know nothing of each other.
 *
 * Fork: a child must not touch a context that its parent has made, not even to free it, for they
 * would share its connections. It makes its own, on a loop of its own, or calls exec.
 *
 * Failures are told, and never exit or abort the program: NULL with a message where something is
 * set up, else a SQLSTATE and a message in the callback. No message holds a password.
 *
 * Until version 1 a struct may grow with any release: compile against the header of the library
 * that is used, and let the fields that are not set be zero, which is every field's default. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_H
#define MOONGATE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOONGATE_API __attribute__((visibility("default")))

struct ev_loop;
struct lua_State;
struct moongate;            /* a context: what one thread's clusters share */
struct moongate_cluster;    /* one primary and its replicas */
struct moongate_connection; /* one server connection, borrowed */
struct moongate_pending;    /* a query, or a borrowing, whose callback has not begun */

/* "1.2.3": of the library, which may be another than the header's. */
MOONGATE_API const char *moongate_version(void);

/* ---- the context ---- */

/* `loop` stays the caller's, and must outlive the context. NULL: nothing can be opened, and
 * moongate_classify() is all that there is. It logs warnings to standard error, or what
 * MOONGATE_LOG in the environment says: debug, info, warn, error, off. NULL: out of memory or
 * descriptors. */
MOONGATE_API struct moongate *moongate_new(struct ev_loop *loop);

/* Closes its clusters; callbacks that have not run run now, inside of this call (called in a
 * callback: after that one has returned). Waits a second at most, if statements were given up,
 * until PostgreSQL has stopped them. Lua states of moongate_open_lua() must be closed before. NULL
 * is fine. */
MOONGATE_API void moongate_free(struct moongate *m);

/* Log lines (logfmt) of `level` and above go to the descriptor `fd`, which stays the caller's.
 * False: there is no such level. */
MOONGATE_API bool moongate_log(struct moongate *m, const char *level, int fd);

/* Where scripts and moongate_open_lua() look for the Lua files of moongate: patterns as in Lua's
 * package.path. They are found without it where the library was installed by `make install`. False:
 * out of memory. */
MOONGATE_API bool moongate_lua_path(struct moongate *m, const char *path);

/* ---- what a statement is: no database needed ---- */

enum moongate_intent {
	MOONGATE_CLASSIFIED, /* in a statement: as it is classified; never in facts */
	MOONGATE_READ,
	MOONGATE_WRITE, /* also the answer in doubt */
};

struct moongate_facts {
	enum moongate_intent intent;
	const char *kind;          /* "select", "insert", "begin", "multi", "unknown" ... */
	const char *reason;        /* why the intent is write; NULL: it is not */
	unsigned statements;       /* in the string; 0: not known */
	uint64_t fingerprint;      /* equal for statements that differ in literals alone */
	const char *const *tables; /* sorted; as the text has them, folded to lower case */
	size_t table_count;
	const char *const *functions;
	size_t function_count;
};

/* The facts are good until the next call with this context, the loop's next turn, or its end. */
MOONGATE_API void moongate_classify(struct moongate *m, const char *sql,
                                    struct moongate_facts *facts);

/* ---- clusters ---- */

struct moongate_url {
	const char *url;    /* "postgres://user@host:5432/database", or libpq's key=value pairs */
	const char *name;   /* in messages, logs and moongate_endpoints(); NULL: host:port */
	const char *region; /* NULL: none */
	double weight;      /* its share of the reads, against the others'; 0: 1 */
};

/* Times are in seconds. 0, everywhere: the default, which docs/configuration.md has, as it has what
 * each of these means. What is out of its range is refused. */
struct moongate_options {
	struct moongate_url primary;
	const struct moongate_url *replicas;
	size_t replica_count;
	unsigned pool_size; /* connections to each endpoint */
	double acquire_timeout, connect_timeout, idle_timeout, max_lifetime;
	double health_interval, health_timeout;
	unsigned health_fall, health_rise;
	double backoff_initial, backoff_factor, backoff_max, backoff_jitter;
	unsigned backoff_attempts;
};

/* Reads go to the replicas by weight, and see what this cluster has written before; where no
 * replica will do, and for all else, there is the primary. Connections are opened at need; probes
 * start with the loop. On failure NULL, and `error` (error_size bytes) says what is wrong and what
 * would be right. */
MOONGATE_API struct moongate_cluster *moongate_open(struct moongate *m,
                                                    const struct moongate_options *options,
                                                    char *error, size_t error_size);

/* The same from the environment: DATABASE_URL, and DATABASE_REPLICA_URL: none, one, or several
 * parted by spaces; MOONGATE_REGION is the region of all. */
MOONGATE_API struct moongate_cluster *moongate_open_env(struct moongate *m, char *error,
                                                        size_t error_size);

/* The same from a routing script, as `moongate run` has them: its cluster for `database` (NULL: the
 * one for all others, "*"), with its options and its policy (docs/scripting.md), which is asked
 * about each statement. The script runs in a Lua state of its own, in the sandbox of the router;
 * what it says of listening is of no matter here, and neither are on_connect, shadows and mirrors.
 */
MOONGATE_API struct moongate_cluster *moongate_open_script(struct moongate *m, const char *path,
                                                           const char *database, char *error,
                                                           size_t error_size);

/* All under way fails with SQLSTATE 57P01: the callbacks run at the loop's next turn, and must not
 * use the cluster any more. Connections that are lent lose their server, and are still to be
 * released. NULL is fine. */
MOONGATE_API void moongate_close(struct moongate_cluster *cluster);

/* ---- queries ---- */

struct moongate_statement {
	const char
	        *sql; /* without parameters it may be several statements: the last one's result */
	int count;    /* parameters, for $1, $2 ... as libpq's PQsendQueryParams() takes them: */
	const char *const *values;   /* text, or binary where formats[i] is 1; NULL is NULL */
	const int *lengths;          /* of the binary ones; NULL: there are none */
	const int *formats;          /* NULL: all are text */
	const Oid *types;            /* NULL, or 0 for one of them: PostgreSQL infers it */
	enum moongate_intent intent; /* READ: the caller's word that it may run on a replica, and
	                                twice. WRITE: it has to see the primary */
	double timeout; /* s, waiting for a connection included; 0: no limit but the pools' */
};

/* Good during the callback. */
struct moongate_result {
	PGresult
	        *rows; /* read with PQntuples(), PQgetvalue() ...; freed after the callback. A
	                  callback that keeps it sets this to NULL, and calls PQclear() some day.
	                  Of a failure: PostgreSQL's own error, for PQresultErrorField(), or NULL */
	const char *sqlstate;                   /* of the failure; "": it has succeeded */
	const char *message;                    /* of the failure: one line */
	const char *endpoint;                   /* the name of the one where it ran; "": none */
	struct moongate_connection *connection; /* moongate_borrow(): the callee's from now on */
};

/* SQLSTATEs beside PostgreSQL's: 57P03 no endpoint answered in time; 53300 no connection became
 * free in time; 08006 the connection was lost, and nothing was committed; 08007 it was lost, or
 * given up, while a write was under way: nobody knows whether it was done; 25000 it left a
 * transaction open, which was rolled back; 57014 the timeout has passed; 57P01 the cluster was
 * closed; 42501, or the policy's own: the policy has rejected it; 0A000: COPY from or to the
 * client; 22023: a field of the statement is not what it may be, and the message says what that is;
 * 54000: there are more than 65535 parameters. */
typedef void moongate_done_fn(struct moongate_result *result, void *arg);

/* Runs it on any connection of the endpoint that the policy chooses. A statement that fails for the
 * endpoint's sake runs again elsewhere, if it is a read, or was not sent yet. What it leaves in its
 * session (SET, LISTEN, temporary tables) is gone with it: borrow a connection for that. NULL: out
 * of memory, and the callback will not run. */
MOONGATE_API struct moongate_pending *moongate_query(struct moongate_cluster *cluster,
                                                     const struct moongate_statement *statement,
                                                     moongate_done_fn *fn, void *arg);

/* The callback will not run. A statement that was sent is cancelled in PostgreSQL, and its
 * connection closed; a write may have been done all the same. `pending` must not have had its
 * callback yet. NULL is fine. */
MOONGATE_API void moongate_cancel(struct moongate_pending *pending);

/* ---- one connection for several statements: transactions, SET, temporary tables ---- */

/* To a replica by the default route for READ, else to the primary. NULL as above. */
MOONGATE_API struct moongate_pending *moongate_borrow(struct moongate_cluster *cluster,
                                                      enum moongate_intent intent,
                                                      moongate_done_fn *fn, void *arg);

/* One at a time: a second one fails with 55006 while the first is under way. Nothing is run twice,
 * and `intent` is of no matter. Once the connection is lost all fail with 08006. NULL as above, or
 * where its cluster was closed. */
MOONGATE_API struct moongate_pending *moongate_query_on(struct moongate_connection *connection,
                                                        const struct moongate_statement *statement,
                                                        moongate_done_fn *fn, void *arg);

/* Gives it back, at any time, also after its cluster was closed or its context freed. It is closed
 * where it is in a transaction, keeps state of its session, or has a statement under way (which
 * fails with 08003). NULL is fine. */
MOONGATE_API void moongate_release(struct moongate_connection *connection);

/* ---- health ---- */

/* As last known. Strings are good until the loop's next turn. */
struct moongate_endpoint {
	const char *name;
	const char *role;   /* "primary", "replica", "unknown" */
	const char *state;  /* "starting", "up", "down", "failed": given up until it is asked for */
	const char *error;  /* why it is not up; "": it is, or nothing is known yet */
	const char *region; /* NULL: none */
	bool usable;        /* queries may go there: it is up, or starting */
	double weight;
	double latency; /* s, moving average of the probes' round trips; 0: not known */
	double lag;     /* s behind the primary by its own account; 0 on a primary */
	/* Of its pool: */
	unsigned size, idle, lent, opening; /* connections that there may be; that there are */
	unsigned waiting;                   /* queries that wait for one */
};

/* Fills in as many as there is room for, the configured primary first; returns how many there are.
 */
MOONGATE_API size_t moongate_endpoints(const struct moongate_cluster *cluster,
                                       struct moongate_endpoint *endpoints, size_t room);

/* ---- programs that embed Lua ---- */

/* `require "moongate"` in this Lua 5.4 state works on the context's loop from now on; call it
 * before any script does so, at most once per state. Its files are looked for where package.path
 * says, and then where the library is installed. Close the state before the context is freed, and
 * not inside of a callback of its own.
 *
 * A task of moongate.spawn() yields while it waits, and the program's loop goes on. Whatever
 * waits outside of tasks, moongate.run() included, runs the loop itself until it is done: the
 * program's watchers run inside of it. False: out of memory, or the state has moongate already. */
MOONGATE_API bool moongate_open_lua(struct moongate *m, struct lua_State *L);

#ifdef __cplusplus
}
#endif

#endif
