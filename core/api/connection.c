/* connection.c - one server for several statements: moongate_borrow(), moongate_query_on(),
 * moongate_release(). */
/* SPDX-License-Identifier: MIT */
#include "api/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct moongate_pending *moongate_borrow(struct moongate_cluster *c, enum moongate_intent intent,
                                         moongate_done_fn *fn, void *arg)
{
	struct moongate_connection *connection = calloc(1, sizeof *connection);
	struct moongate_pending *p = connection ? pending_new(c, 0, fn, arg) : NULL;
	if (!p) {
		free(connection);
		return NULL;
	}
	list_init(&connection->link);
	p->lends = connection;
	enum intent as = intent == MOONGATE_READ ? INTENT_READ : INTENT_WRITE;
	const struct dispatch_request request = {.cluster = c->cluster,
	                                         .route = cluster_default_route(c->cluster, as),
	                                         .last_write = c->last_write,
	                                         .need = &c->need};
	operation_borrow(&p->op, &request, pending_done);
	return p;
}

static bool in_block(const struct moongate_connection *connection)
{
	PGTransactionStatusType status = PQtransactionStatus(connection->loan.server->conn);
	return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}

/* A block can always be begun and ended; what else runs there, the policy may reject. */
static struct verdict decide(struct moongate_pending *p, const struct facts *facts,
                             const struct exec_query *query)
{
	const struct moongate_connection *connection = p->connection;
	const struct transaction_facts block = {.endpoint = connection->loan.server->endpoint};
	struct query q = query_question(p->cluster, p, facts, query);
	if (facts->effects & (EFFECT_BEGIN | EFFECT_END | EFFECT_SAVEPOINT))
		return (struct verdict){.kind = VERDICT_ROUTE};
	q.bound = true;
	q.in_transaction = in_block(connection);
	q.transaction = q.in_transaction ? &block : NULL;
	return query_decide(p->cluster, &q);
}

/* A block fails with a rejection, as it does with PostgreSQL's own errors. */
static void reject(struct moongate_pending *p, const struct verdict *v)
{
	static const struct exec_query stand_in = {.sql = "rejected by policy", .count = -1};
	query_reject(p, v);
	if (in_block(p->connection))
		operation_run(&p->op, &p->connection->loan, &stand_in,
		              cluster_facts(p->cluster, stand_in.sql), false, pending_done);
	else
		pending_due(p);
}

static void run(struct moongate_pending *p, const struct exec_query *query)
{
	struct moongate_connection *connection = p->connection;
	const struct facts *facts = cluster_facts(p->cluster, query->sql);
	const struct verdict v = decide(p, facts, query);
	if (v.kind == VERDICT_REJECT) {
		reject(p, &v);
		return;
	}
	query_note_facts(p, facts);
	bool may_commit = p->writes && (!in_block(connection) || facts->effects & EFFECT_END);
	p->writes = may_commit;
	connection->loan.pins |= p->pins;
	struct operation_statement statement = operation_statement_of(query, facts, may_commit);
	statement.advice = &query_advice;
	operation_run_on(&p->op, &connection->loan, &statement, pending_done);
}

struct moongate_pending *moongate_query_on(struct moongate_connection *connection,
                                           const struct moongate_statement *s, moongate_done_fn *fn,
                                           void *arg)
{
	struct exec_query query;
	struct moongate_pending *p =
	        connection->cluster ? query_new(connection->cluster, s, fn, arg, &query) : NULL;
	if (!p)
		return NULL;
	p->connection = connection;
	if (query_is_wrong(p, s))
		return p;
	if (!connection->loan.server) {
		snprintf(p->text, POLICY_REJECTION, "the connection was lost: %s",
		         connection->loan.lost);
		pending_fail(p, "08006", p->text);
	} else if (connection->loan.busy) {
		pending_fail(p, "55006", "the connection is busy: a statement is under way on it");
	} else {
		run(p, &query);
	}
	return p;
}

void moongate_release(struct moongate_connection *connection)
{
	if (!connection)
		return;
	struct moongate_cluster *c = connection->cluster;
	if (c)
		LIST_EACH (&c->pending, link) {
			struct moongate_pending *p =
			        LIST_ENTRY(link, struct moongate_pending, link);
			if (p->connection != connection)
				continue;
			pending_abort(p, &connection->loan, "08003",
			              "the connection was released meanwhile");
			p->connection = NULL;
		}
	loan_end(&connection->loan);
	list_remove(&connection->link);
	free(connection);
}

void connections_close(struct moongate_cluster *c)
{
	loans_end(&c->loans);
	LIST_EACH (&c->connections, link) {
		struct moongate_connection *connection =
		        LIST_ENTRY(link, struct moongate_connection, link);
		list_remove(&connection->link);
		connection->cluster = NULL;
	}
}
