/* operation.h - one statement of an application's: from a verdict to its result, on the loop.
 *
 *  start --> borrowing --> running --> done        a route was given: the server is borrowed, and
 *                ^            |                    given back before `done`
 *                +-- again ---+
 *
 * Again, elsewhere: when nothing was sent; when a read lost its server, or a replica refused or
 * cancelled it for being a replica. A statement that may have written is never run twice.
 *
 * One that was cancelled (by its time, or by operation_cancel()) is done when PostgreSQL has
 * answered it and no request is on its way that could hit another statement: see canceller.h. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_OPERATION_H
#define MOONGATE_SCRIPT_OPERATION_H

#include "cluster/canceller.h"
#include "cluster/dispatch.h"
#include "cluster/flow.h"
#include "script/loans.h"
#include "sql/facts.h"

/* What an application is told to do instead; the functions' names are those that it knows. */
struct operation_advice {
	const char *copies;    /* of a COPY, where it was not expected */
	const char *left_open; /* of a transaction that a lone statement has begun */
};

/* What the Lua module says of COPY. */
#define OPERATION_COPIES                                                                           \
	"COPY ... FROM STDIN is for copy_in(), and COPY ... TO STDOUT for copy_out()"

struct convoy;
struct operation;

/* Runs once per start; may run before it returns. What came of it stands in the operation. With
 * query.flow it also runs whenever that is ready: `begun` is set, and `cluster` until it is done.
 */
typedef void operation_done_fn(struct operation *op);

/* Zero is "not under way, without a result". */
struct operation {
	struct cluster *cluster; /* NULL: not under way */
	operation_done_fn *fn;
	struct dispatch_request request;
	struct need need;        /* what the request's points to */
	struct exec_query query; /* sql NULL: only the server is wanted */
	unsigned pins;
	enum sql_kind kind; /* for statistics.h, with: */
	uint64_t fingerprint;
	const struct operation_advice *advice;
	double since;          /* when it was sent */
	struct loan *loan;     /* whose server it runs on; NULL: it borrows one */
	struct convoy *convoy; /* that it goes with, whose the server is; NULL: none */
	size_t refused;        /* the number of that statement in its batch */
	size_t reprepared;     /* how often what was prepared was stale, and is prepared anew */
	double timeout;        /* s of the whole call; 0: none */
	unsigned attempts;
	bool timed_out;
	bool may_commit;    /* it writes outside of a block, or ends one */
	bool suits_convoy;  /* see convoy_suits() */
	bool declared_read; /* whatever it may do: a replica that refuses it has not done it */
	bool refused_by_replica;
	bool begun;        /* query.flow has something to take: it stays where it runs */
	bool forgets;      /* it closes all that is prepared on its server */
	bool unfit;        /* a cancel request may yet come to the server */
	ev_timer deadline; /* of the call; then of the answer to the cancel request */
	struct canceller canceller;
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
	unsigned pins;      /* what it leaves in its session: such a server is not lent again */
	bool declared_read; /* by the application; the intent may still be `write` */
	bool forgets;       /* see facts_forget_prepared() */
	double timeout;     /* s of the whole call; 0: none */
	const struct operation_advice *advice; /* constant; NULL: the Lua module's */
};

void operation_start(struct operation *op, const struct operation_statement *statement,
                     operation_done_fn *fn);

/* Only borrows: op->server is for the caller to take once it is done. */
void operation_borrow(struct operation *op, const struct dispatch_request *to,
                      operation_done_fn *fn);

/* What of a statement a loan needs to know; whoever has more to say adds it. */
struct operation_statement operation_statement_of(const struct exec_query *query,
                                                  const struct facts *facts, bool may_commit);

/* Runs once, on a loan's server; of `facts` nothing is kept. `may_commit`: when that is lost
 * meanwhile, nobody knows what was written. */
void operation_run(struct operation *op, struct loan *loan, const struct exec_query *query,
                   const struct facts *facts, bool may_commit, operation_done_fn *fn);

/* The same: of `statement`, `to` is not used, and `intent` says whether that is so. */
void operation_run_on(struct operation *op, struct loan *loan,
                      const struct operation_statement *statement, operation_done_fn *fn);

/* PostgreSQL is asked to stop what it runs, which fails with 57014 if it does; its server stays as
 * it is. False: nothing is running. */
bool operation_cancel(struct operation *op);

/* The callback will not run; a server in the middle of a statement is closed. Also frees the
 * result. Fine at any time. */
void operation_end(struct operation *op);

/* It goes on at another address, once it has begun; nothing is left here. */
void operation_move(struct operation *to, struct operation *from, operation_done_fn *fn);

/* Ends it if it has to do with this cluster, or with this loan, and is under way or holds a server;
 * it has failed then, but the callback will not run. False: it has not. */
bool operation_abort(struct operation *op, const struct cluster *cluster, const struct loan *loan,
                     const char *sqlstate, const char *message);

#endif
