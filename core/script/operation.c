/* operation.c - see operation.h. */
/* SPDX-License-Identifier: MIT */
#include "script/operation_parts.h"

#include "base/clock.h"
#include "script/convoy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_dispatched(struct dispatch *dispatch, struct server *server, enum status status,
                          const char *sqlstate, const char *reason);
static void on_flowing(struct flow *flow);
static void on_flowed(struct flow *flow, enum status status, PGresult *result);

static bool fit_for_others(const struct operation *op, const PGconn *conn)
{
	return op->pins == 0 && PQstatus(conn) == CONNECTION_OK &&
	       PQtransactionStatus(conn) == PQTRANS_IDLE;
}

void operation_give_back(struct operation *op, bool usable)
{
	struct server *server = op->server;
	op->server = NULL;
	if (!server)
		return;
	if (op->convoy) { /* whose it is */
		op->convoy = NULL;
		return;
	}
	usable = usable && !op->unfit;
	if (op->loan)
		op->loan->busy = false;
	if (!op->loan)
		pool_release(server, usable && fit_for_others(op, server->conn));
	else if (usable && PQstatus(server->conn) == CONNECTION_OK)
		loan_watch(op->loan);
	else
		loan_lose(op->loan, server->error);
}

void operation_finish(struct operation *op)
{
	ev_timer_stop(op->cluster->context->loop, &op->deadline);
	op->cluster = NULL;
	op->fn(op);
}

void operation_fail(struct operation *op, const char *sqlstate, const char *message)
{
	snprintf(op->sqlstate, sizeof op->sqlstate, "%s", sqlstate);
	snprintf(op->message, sizeof op->message, "%.*s", (int)strcspn(message, "\n"), message);
	operation_finish(op);
}

void operation_seek(struct operation *op)
{
	op->request.need = &op->need;
	op->attempts++;
	dispatch_start(&op->dispatch, &op->request, on_dispatched);
}

static void lost_unsent(struct operation *op)
{
	struct endpoint *endpoint = op->server->endpoint;
	char why[sizeof op->message];
	snprintf(why, sizeof why, "sending to %s: %s", endpoint->name, op->server->error);
	operation_give_back(op, false);
	endpoint_suspect(endpoint);
	/* An idle server that had died; the others may have, too. */
	if (!op->loan && op->attempts <= op->cluster->pool.size + op->cluster->endpoint_count)
		operation_seek(op);
	else
		operation_fail(op, "08006", why);
}

/* A flow has the time of the call to itself: it runs while PostgreSQL is waited for. */
static enum status send_flow(struct operation *op)
{
	struct exec_query *q = &op->query;
	ev_timer_stop(op->cluster->context->loop, &op->deadline);
	if (op->timeout > 0 && (q->timeout <= 0 || op->timeout < q->timeout))
		q->timeout = op->timeout;
	return flow_start(q->flow, op->server, q, on_flowing, on_flowed, op);
}

static enum status send(struct operation *op)
{
	if (op->query.flow)
		return send_flow(op);
	return exec_start(&op->exec, op->server, &op->query, operation_executed);
}

void operation_send(struct operation *op)
{
	op->since = clock_now();
	if (!convoy_start(op) && send(op) != ST_OK)
		lost_unsent(op);
}

const struct endpoint *operation_blame(const struct operation *op, const struct endpoint *last)
{
	const struct cluster *c = op->cluster;
	for (size_t i = 0; !last && i < c->endpoint_count; i++)
		if (*c->endpoints[i]->last_error)
			last = c->endpoints[i];
	return last && *last->last_error ? last : NULL;
}

/* Says which endpoint it was, and what was being done. */
static void fail_to_borrow(struct operation *op, const struct endpoint *last, enum status status,
                           const char *sqlstate, const char *reason)
{
	char message[sizeof op->message];
	const struct endpoint *e =
	        strcmp(sqlstate, "57P03") == 0 ? operation_blame(op, last) : NULL;
	if (e)
		snprintf(message, sizeof message, "%s: connecting to %s: %s", reason, e->name,
		         e->last_error);
	else if (last && (status == ST_ESERVER || status == ST_TIMEOUT))
		snprintf(message, sizeof message, "%s %s: %s",
		         status == ST_TIMEOUT ? "waiting for" : "connecting to", last->name,
		         reason);
	else
		snprintf(message, sizeof message, "%s", reason);
	operation_fail(op, sqlstate, message);
}

struct operation *operation_of_dispatch(struct dispatch *dispatch)
{
	return dispatch->fn == on_dispatched ? LIST_ENTRY(dispatch, struct operation, dispatch)
	                                     : NULL;
}

void operation_begin_anew(struct operation *op)
{
	op->attempts--;
	operation_seek(op);
}

static void on_dispatched(struct dispatch *dispatch, struct server *server, enum status status,
                          const char *sqlstate, const char *reason)
{
	struct operation *op = LIST_ENTRY(dispatch, struct operation, dispatch);
	const struct endpoint *endpoint = dispatch->endpoint;
	op->server = server;
	if (status != ST_OK) {
		fail_to_borrow(op, endpoint, status, sqlstate,
		               reason ? reason : status_name(status));
	} else if (op->query.sql) {
		operation_send(op);
	} else {
		server_want_read(server, false); /* until the loan begins it is nobody's */
		operation_finish(op);
	}
}

static void on_flowing(struct flow *flow)
{
	struct operation *op = flow->owner;
	op->begun = true;
	op->fn(op);
}

static void on_flowed(struct flow *flow, enum status status, PGresult *result)
{
	operation_take(flow->owner, status, result);
}

/* Nothing is committed by COPY FROM before the end of its data. */
static bool sends_data(const struct exec_query *query)
{
	return query->flow && query->flow->kind == FLOW_COPY_IN;
}

static struct need need_of(const struct dispatch_request *to)
{
	return to->need ? *to->need : (struct need){0};
}

static const struct operation_advice *advice_of(const struct operation_statement *statement)
{
	static const struct operation_advice lua = {
	        .copies = OPERATION_COPIES,
	        .left_open = "use cluster:transaction()",
	};
	return statement->advice ? statement->advice : &lua;
}

void operation_start(struct operation *op, const struct operation_statement *statement,
                     operation_done_fn *fn)
{
	*op = (struct operation){.cluster = statement->to.cluster,
	                         .fn = fn,
	                         .request = statement->to,
	                         .need = need_of(&statement->to),
	                         .query = statement->query,
	                         .may_commit = statement->intent == INTENT_WRITE &&
	                                       !sends_data(&statement->query),
	                         .pins = statement->pins,
	                         .fingerprint = statement->fingerprint,
	                         .kind = statement->kind,
	                         .declared_read = statement->declared_read,
	                         .forgets = statement->forgets,
	                         .timeout = statement->timeout,
	                         .advice = advice_of(statement),
	                         .suits_convoy = convoy_suits(statement)};
	operation_arm(op);
	operation_seek(op);
}

void operation_borrow(struct operation *op, const struct dispatch_request *to,
                      operation_done_fn *fn)
{
	*op = (struct operation){
	        .cluster = to->cluster, .fn = fn, .request = *to, .need = need_of(to)};
	operation_seek(op);
}

void operation_run_on(struct operation *op, struct loan *loan,
                      const struct operation_statement *statement, operation_done_fn *fn)
{
	*op = (struct operation){.cluster = loan->server->endpoint->cluster,
	                         .fn = fn,
	                         .query = statement->query,
	                         .may_commit = statement->intent == INTENT_WRITE &&
	                                       !sends_data(&statement->query),
	                         .fingerprint = statement->fingerprint,
	                         .kind = statement->kind,
	                         .forgets = statement->forgets,
	                         .timeout = statement->timeout,
	                         .advice = advice_of(statement),
	                         .loan = loan,
	                         .server = loan->server,
	                         .dispatch = {.endpoint = loan->server->endpoint}};
	loan->busy = true;
	operation_arm(op);
	operation_send(op);
}

struct operation_statement operation_statement_of(const struct exec_query *query,
                                                  const struct facts *facts, bool may_commit)
{
	return (struct operation_statement){
	        .query = *query,
	        .intent = may_commit ? INTENT_WRITE : INTENT_READ,
	        .fingerprint = facts->fingerprint,
	        .kind = facts->kind,
	        .forgets = facts_forget_prepared(facts),
	};
}

void operation_run(struct operation *op, struct loan *loan, const struct exec_query *query,
                   const struct facts *facts, bool may_commit, operation_done_fn *fn)
{
	const struct operation_statement statement =
	        operation_statement_of(query, facts, may_commit);
	operation_run_on(op, loan, &statement, fn);
}

void operation_move(struct operation *to, struct operation *from, operation_done_fn *fn)
{
	struct flow *flow = from->query.flow;
	*to = *from;
	canceller_move(&to->canceller, &from->canceller);
	*from = (struct operation){0};
	to->fn = fn;
	to->query = (struct exec_query){.sql = "", .timeout = to->query.timeout, .flow = flow};
	to->dispatch = (struct dispatch){.endpoint = to->dispatch.endpoint};
	flow->owner = to;
	if (to->canceller.server)
		flow_refuse(flow);
}

static void stop_flow(struct flow *flow)
{
	if (!flow || !flow->server)
		return;
	struct server *server = flow->server;
	flow_cancel(flow);
	snprintf(server->error, sizeof server->error,
	         "what it was sending was left before its end");
	server_give_up(server);
}

void operation_end(struct operation *op)
{
	if (op->cluster) {
		ev_timer_stop(op->cluster->context->loop, &op->deadline);
		canceller_stop(&op->canceller);
		dispatch_cancel(&op->dispatch);
		struct server *running = op->exec.server;
		exec_cancel(&op->exec);
		if (running)
			server_give_up(running);
		stop_flow(op->query.flow);
	}
	if (op->convoy)
		convoy_leave(op);
	operation_give_back(op, !op->cluster);
	op->cluster = NULL;
	PQclear(op->result);
	op->result = NULL;
}

static const struct cluster *cluster_of(const struct operation *op)
{
	return op->server ? op->server->endpoint->cluster : op->cluster;
}

bool operation_abort(struct operation *op, const struct cluster *cluster, const struct loan *loan,
                     const char *sqlstate, const char *message)
{
	const struct cluster *own = cluster_of(op);
	if (!own || (own != cluster && (!loan || op->loan != loan)))
		return false;
	operation_end(op);
	snprintf(op->sqlstate, sizeof op->sqlstate, "%s", sqlstate);
	snprintf(op->message, sizeof op->message, "%s", message);
	return true;
}
