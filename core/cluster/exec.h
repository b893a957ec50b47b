/* exec.h - one query at a time over libpq's asynchronous API, on the loop; or a batch of them.
 *
 * For the embedded module and for probes; servers that it runs on are never used for raw bytes. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_EXEC_H
#define MOONGATE_CLUSTER_EXEC_H

#include "cluster/server.h"

struct exec;
struct flow;

/* Runs exactly once per exec_start() that was not cancelled; never inside of it. `result` is the
 * last one of the string that is not NULL, or the first that failed (of a batch, NULL or that); the
 * callee owns it and calls PQclear(). NULL with ST_TIMEOUT or ST_ESERVER (the connection is lost;
 * server->error says why).
 */
typedef void exec_done_fn(struct exec *exec, enum status status, PGresult *result);

/* Embedded in the caller. Zero is "not under way". */
struct exec {
	struct server *server; /* NULL: not under way */
	exec_done_fn *fn;
	PGresult *result;
	ev_timer timer;
	/* In libpq's pipeline mode, see pipeline.h: */
	size_t steps, sent, answered; /* steps 0: not in that mode */
	unsigned nulls;               /* of PQgetResult() at a Sync */
	struct exec_batch *batch;
	struct prepared *prepared;  /* that it runs; NULL: none */
	struct prepared *preparing; /* is parsed ahead; owned until the server has it */
	size_t closing;             /* steps ahead of that, that close others */
	/* Of the batch, in statements: */
	size_t queued;  /* that were sent */
	size_t number;  /* whose answer is next */
	size_t unnamed; /* 1 + that of which the unnamed statement is; 0: there is none */
	bool *parses;   /* those that are prepared in a step ahead of them; NULL: none can be */
	bool parsed;    /* `number` has been */
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
	uint64_t prepared; /* prepared_hash() of sql: it is prepared on the server, once; 0: it is
	                      not. `count` is at least 0 then */
	bool text_only;    /* a prepared one's results in binary are of no use */
	struct exec_batch *batch; /* these are run instead of `sql`; NULL: none */
	struct flow *flow; /* takes the answer bit by bit, see flow.h; NULL: it is taken whole */
};

/* Statements that go in one round trip, and are one implicit transaction outside of a block: none
 * is run after one that has failed. All of it stays until the callback. */
struct exec_batch {
	const struct exec_query *queries; /* count >= 0 in each; none of them is a batch */
	size_t count;
	PGresult **results; /* `count` of them, NULL before; the caller's to clear. Those of
	                       statements that have succeeded */
	size_t failed;      /* the number of the one whose result the callback gets */
};

/* Of one that has come to nothing: a batch whose Sync was not sent has left no trace. */
bool exec_is_incomplete(const struct exec *exec);

/* Clears the results. */
void exec_batch_clear(struct exec_batch *batch);

/* ST_ESERVER: could not be sent; the callback will not run. */
enum status exec_start(struct exec *exec, struct server *server, const struct exec_query *query,
                       exec_done_fn *fn) MUST_CHECK;

/* The callback will not run; the server is in the middle of a query and must be closed. */
void exec_cancel(struct exec *exec);

#endif
