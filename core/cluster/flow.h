/* flow.h - one statement whose answer is taken bit by bit, as it comes: rows, or COPY in either
 * direction; over libpq's asynchronous API, on the loop.
 *
 * Nothing is read from the socket but what its owner waits for, so that an answer of any size takes
 * no more memory than libpq's buffer: its longest message, and a little more. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_FLOW_H
#define MOONGATE_CLUSTER_FLOW_H

#include "base/buffer.h"
#include "cluster/exec.h"

struct flow;

/* What it has waited for is there: flow_rows() or flow_data() has something, or COPY takes data. */
typedef void flow_ready_fn(struct flow *flow);

/* Runs exactly once per flow_start() that was not cancelled; never inside of it, but perhaps inside
 * of any other call. As an exec_done_fn; ST_ECLIENT: COPY, where another kind was expected. */
typedef void flow_done_fn(struct flow *flow, enum status status, PGresult *result);

enum flow_kind { FLOW_ROWS, FLOW_COPY_OUT, FLOW_COPY_IN };

#define FLOW_BATCH 32768 /* bytes that COPY sends at a time */

/* Zero but for `kind`, which its owner sets, is "not under way". */
struct flow {
	enum flow_kind kind;
	struct server *server; /* NULL: not under way */
	void *owner;
	flow_ready_fn *ready;
	flow_done_fn *done;
	PGresult *result; /* what the statement came to */
	PGresult *rows;   /* that wait to be taken; likewise: */
	char *data;
	int size;
	bool data_taken;   /* ... but stays until the next is */
	struct buffer out; /* what COPY is to send: one CopyData message, its length not yet set */
	bool copying;      /* COPY's data flow */
	bool sending;      /* a part of the batch */
	bool refused;      /* COPY FROM was given up: what is sent is of no use any more */
	bool cancelled;    /* ... by us */
	bool dropping;     /* whatever comes is of no use any more */
	bool unsent;       /* libpq has more to send */
	double left;       /* seconds of the timeout; it runs while PostgreSQL is waited for */
	ev_timer timer;
};

/* Sends the statement, which may be one only, and waits. One that is to be prepared goes by its
 * name where the server has it, and else as it is. ST_ESERVER: it could not be sent. */
enum status flow_start(struct flow *flow, struct server *server, const struct exec_query *query,
                       flow_ready_fn *ready, flow_done_fn *done, void *owner) MUST_CHECK;

/* One row or several, for the caller to clear. NULL: none is there; it is over, or flow_wait(). */
PGresult *flow_rows(struct flow *flow);

/* What COPY TO sends: one row in its text formats. Good until the next call. NULL likewise. */
const char *flow_data(struct flow *flow, int *size);

/* Has `ready` or `done` run, perhaps before it returns. */
void flow_wait(struct flow *flow);

/* Drops what has arrived, and what will. It may be over then. */
void flow_drop(struct flow *flow);

/* For COPY FROM: adds bytes to the batch, and room for them; and sends it. False: some are still to
 * be sent, so flow_wait(), and nothing is to be added until it is ready. */
enum status flow_put(struct flow *flow, const void *bytes, size_t size) MUST_CHECK;
bool flow_full(const struct flow *flow);
bool flow_push(struct flow *flow);

/* All is sent: ends COPY FROM, or makes PostgreSQL undo it because of `failure`; then flow_wait()
 * unless it is over. */
void flow_put_end(struct flow *flow, const char *failure);

/* For COPY FROM, and else without effect: it takes no more data, and PostgreSQL is told so by
 * flow_put_end(). */
void flow_refuse(struct flow *flow);

/* No callback will run; the server is in the middle of something and must be closed. */
void flow_cancel(struct flow *flow);

#endif
