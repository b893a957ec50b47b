/* operation.h - one statement of an application's: from a verdict to its result, on the loop.
 *
 *  start --> borrowing --> running --> done        a route was given: the server is borrowed, and
 *                ^            |                    given back before `done`
 *                +-- again ---+
 *
 * Again, elsewhere: when nothing was sent; when a read lost its server, or a replica refused or
 * cancelled it for being a replica. A statement that may have written is never run twice. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_OPERATION_H
#define MOONGATE_SCRIPT_OPERATION_H

#include "cluster/dispatch.h"
#include "cluster/exec.h"
#include "script/loans.h"
#include "sql/facts.h"

struct operation;

/* Runs once per start; may run before it returns. What came of it stands in the operation. */
typedef void operation_done_fn(struct operation *op);

/* Zero is "not under way, without a result". */
struct operation {
	struct cluster *cluster; /* NULL: not under way */
	operation_done_fn *fn;
	struct dispatch_request request;
	struct need need;        /* what the request's points to */
	struct exec_query query; /* sql NULL: only the server is wanted */
	bool may_commit;         /* it writes outside of a block, or ends one */
	unsigned pins;
	uint64_t fingerprint; /* for statistics.h, with `kind` and: */
	enum sql_kind kind;
	double since;      /* when it was sent */
	struct loan *loan; /* whose server it runs on; NULL: it borrows one */
	bool refused_by_replica;
	unsigned attempts;
	struct dispatch dispatch;
	struct exec exec;
	struct server *server;
	PGresult *result;  /* NULL: it failed without one of PostgreSQL's */
	char sqlstate[6];  /* of the failure; "" on success */
	char message[640]; /* one line */
};

/* Where a statement goes, and what is known of it. The strings must stay until it is done. */
struct operation_statement {
	struct dispatch_request to;
	struct exec_query query;
	enum intent intent;
	uint64_t fingerprint;
	enum sql_kind kind;
	unsigned pins; /* what it leaves in its session: such a server is not lent again */
};

void operation_start(struct operation *op, const struct operation_statement *statement,
                     operation_done_fn *fn);

/* Only borrows: op->server is for the caller to take once it is done. */
void operation_borrow(struct operation *op, const struct dispatch_request *to,
                      operation_done_fn *fn);

/* Runs once, on a loan's server; of `facts` nothing is kept. `may_commit`: when that is lost
 * meanwhile, nobody knows what was written. */
void operation_run(struct operation *op, struct loan *loan, const struct exec_query *query,
                   const struct facts *facts, bool may_commit, operation_done_fn *fn);

/* The callback will not run; a server in the middle of a statement is closed. Also frees the
 * result. Fine at any time. */
void operation_end(struct operation *op);

/* Ends it if it has to do with this cluster, or with this loan, and is under way or holds a server;
 * it has failed then, but the callback will not run. False: it has not. */
bool operation_abort(struct operation *op, const struct cluster *cluster, const struct loan *loan,
                     const char *sqlstate, const char *message);

#endif
