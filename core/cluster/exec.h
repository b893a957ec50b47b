/* exec.h - one query at a time over libpq's asynchronous API, on the loop.
 *
 * For the embedded module and for probes; servers that it runs on are never used for raw bytes. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_EXEC_H
#define MOONGATE_CLUSTER_EXEC_H

#include "cluster/server.h"

struct exec;

/* Runs exactly once per exec_start() that was not cancelled; never inside of it. `result` is the
 * last one of the string that is not NULL, or the first that failed; the callee owns it and calls
 * PQclear(). NULL with ST_TIMEOUT or ST_ESERVER (the connection is lost; server->error says why).
 */
typedef void exec_done_fn(struct exec *exec, enum status status, PGresult *result);

/* Embedded in the caller. Zero is "not under way". */
struct exec {
	struct server *server; /* NULL: not under way */
	exec_done_fn *fn;
	PGresult *result;
	ev_timer timer;
};

/* Parameters as libpq's PQsendQueryParams: text, or binary where formats[i] is 1. `count` < 0 sends
 * a simple query (which may hold several statements). The strings are copied before it returns.
 * `timeout` in seconds; 0: none. */
struct exec_query {
	const char *sql;
	int count;
	const Oid *types;
	const char *const *values;
	const int *lengths;
	const int *formats;
	double timeout;
};

/* ST_ESERVER: could not be sent; the callback will not run. */
enum status exec_start(struct exec *exec, struct server *server, const struct exec_query *query,
                       exec_done_fn *fn) MUST_CHECK;

/* The callback will not run; the server is in the middle of a query and must be closed. */
void exec_cancel(struct exec *exec);

#endif
