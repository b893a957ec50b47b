/* operation.c - see operation.h. */
/* SPDX-License-Identifier: MIT */
#include "script/operation_parts.h"

#include "base/clock.h"
#include "cluster/prepared.h"
#include "cluster/statistics.h"
#include "script/binary.h"
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

static bool is(const char *sqlstate, const char *other)
{
	return strcmp(sqlstate, other) == 0;
}

static void finish(struct operation *op)
{
	ev_timer_stop(op->cluster->context->loop, &op->deadline);
	op->cluster = NULL;
	op->fn(op);
}

void operation_fail(struct operation *op, const char *sqlstate, const char *message)
{
	snprintf(op->sqlstate, sizeof op->sqlstate, "%s", sqlstate);
	snprintf(op->message, sizeof op->message, "%.*s", (int)strcspn(message, "\n"), message);
	finish(op);
}

static void borrow(struct operation *op)
{
	op->request.need = &op->need;
	op->attempts++;
	dispatch_start(&op->dispatch, &op->request, on_dispatched);
}

/* There may be an endpoint of the route that was not tried. */
static bool may_go_elsewhere(const struct operation *op)
{
	return op->request.route && !op->begun && op->attempts <= op->cluster->endpoint_count;
}

static void go_elsewhere(struct operation *op, const struct endpoint *without)
{
	op->request.excluded |= UINT64_C(1) << without->index;
	borrow(op);
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
		borrow(op);
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

static void run(struct operation *op)
{
	op->since = clock_now();
	op->exec.prepared = NULL; /* of a server before this one, perhaps */
	if (!convoy_start(op) && send(op) != ST_OK)
		lost_unsent(op);
}

/* The endpoint that was tried last, or else the first that is not well; NULL. */
static const struct endpoint *to_blame(const struct operation *op, const struct endpoint *last)
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
	const struct endpoint *e = is(sqlstate, "57P03") ? to_blame(op, last) : NULL;
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
	borrow(op);
}

static void on_dispatched(struct dispatch *dispatch, struct server *server, enum status status,
                          const char *sqlstate, const char *reason)
{
	struct operation *op = LIST_ENTRY(dispatch, struct operation, dispatch);
	const struct endpoint *endpoint = dispatch->endpoint;
	op->server = server;
	if (status != ST_OK)
		fail_to_borrow(op, endpoint, status, sqlstate,
		               reason ? reason : status_name(status));
	else if (op->query.sql)
		run(op);
	else
		finish(op);
}

void operation_tally(const struct operation *op, bool failed)
{
	const struct endpoint *e = op->server->endpoint;
	const char *rows = op->result ? PQcmdTuples(op->result) : "";
	const struct sample sample = {.fingerprint = op->fingerprint,
	                              .kind = op->kind,
	                              .endpoint = e->index,
	                              .seconds = clock_now() - op->since,
	                              .rows = strtoull(rows, NULL, 10),
	                              .failed = failed};
	statistics_record(e->cluster->statistics, &sample);
}

static void lost(struct operation *op)
{
	char message[sizeof op->message];
	struct endpoint *endpoint = op->server->endpoint;
	if (exec_is_incomplete(&op->exec))
		op->may_commit = false;
	snprintf(message, sizeof message, "the connection to %s was lost%s: %s", endpoint->name,
	         op->may_commit ? ", the outcome is unknown" : "", op->server->error);
	bool over = op->loan || op->may_commit || op->timed_out || !may_go_elsewhere(op);
	if (over)
		operation_tally(op, true);
	operation_give_back(op, false);
	endpoint_lost(endpoint);
	if (over)
		operation_fail(op, op->may_commit ? "08007" : "08006", message);
	else
		go_elsewhere(op, endpoint);
}

/* What a hot standby answers to what it cannot do: 25006 mostly, some commands others with a
 * message that says so. */
static bool refused_for_recovery(const char *sqlstate, const char *message)
{
	if (is(sqlstate, "25006"))
		return true;
	return (is(sqlstate, "0A000") || is(sqlstate, "55000") || is(sqlstate, "XX000")) &&
	       (strstr(message, "recovery") || strstr(message, "standby"));
}

/* A read that failed only because it ran on a replica runs again where it does not. */
static bool repaired(struct operation *op, const char *sqlstate, const char *message)
{
	struct endpoint *endpoint = op->server->endpoint;
	bool refused = refused_for_recovery(sqlstate, message);
	if (op->loan || op->begun || !op->request.route || endpoint->role == ROLE_PRIMARY ||
	    op->timed_out)
		return false;
	if (op->may_commit && !(op->declared_read && refused))
		return false;
	if (!refused && !(is(sqlstate, "40001") && may_go_elsewhere(op)))
		return false;
	PQclear(op->result);
	op->result = NULL;
	operation_give_back(op, true);
	if (!refused) {
		go_elsewhere(op, endpoint);
		return true;
	}
	op->refused_by_replica = true;
	op->refused = op->query.batch ? op->query.batch->failed : 0;
	op->request.route = cluster_default_route(op->cluster, INTENT_WRITE);
	borrow(op);
	return true;
}

/* Its result would have other columns by now, or the type of a parameter was dropped: PostgreSQL
 * plans anew for most of what changes, and not for these. */
static bool is_outdated(const PGresult *result, const char *sqlstate)
{
	const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
	if (!function)
		return false;
	return (is(sqlstate, "0A000") && is(function, "RevalidateCachedQuery")) ||
	       (is(sqlstate, "XX000") && is(function, "getTypeInputInfo"));
}

/* What the server has prepared is gone, or outdated. PostgreSQL has done nothing then, and outside
 * of a block it can be prepared anew, and run again. CALL and DO may have committed something on
 * their way to such an error of their own. */
static bool prepared_anew(struct operation *op, const char *sqlstate)
{
	bool gone = is(sqlstate, "26000");
	if (!op->query.prepared || !(gone || is_outdated(op->result, sqlstate)))
		return false;
	prepared_drop(op->server, &op->query, gone);
	if (op->reprepared || op->timed_out || op->kind == SQL_CALL || op->kind == SQL_DO ||
	    PQtransactionStatus(op->server->conn) != PQTRANS_IDLE)
		return false;
	PQclear(op->result);
	op->result = NULL;
	op->reprepared = true;
	if (op->convoy) { /* the others go on */
		operation_give_back(op, true);
		borrow(op);
	} else {
		run(op);
	}
	return true;
}

/* A batch that went well has no result of its own. */
static bool has_failed(const struct operation *op)
{
	if (op->query.batch && !op->result)
		return false;
	return PQresultStatus(op->result) == PGRES_FATAL_ERROR;
}

static void answered(struct operation *op)
{
	const char *sqlstate = PQresultErrorField(op->result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(op->result, PG_DIAG_MESSAGE_PRIMARY);
	if (has_failed(op)) {
		sqlstate = sqlstate ? sqlstate : "08006";
		message = message ? message : PQresultErrorMessage(op->result);
		if (repaired(op, sqlstate, message) || prepared_anew(op, sqlstate))
			return;
		/* It was the primary when it was last asked, perhaps long ago. */
		if (is(sqlstate, "25006") && op->server->endpoint->role == ROLE_PRIMARY)
			endpoint_check(op->server->endpoint);
		operation_tally(op, true);
		const char *endpoint = op->server->endpoint->name;
		operation_give_back(op, true);
		if (op->timed_out && is(sqlstate, "57014"))
			operation_fail_in_time(op, endpoint);
		else
			operation_fail(op, sqlstate, message);
		return;
	}
	operation_tally(op, false);
	if (op->exec.prepared && !prepared_has_format(op->exec.prepared))
		prepared_set_format(op->exec.prepared, binary_pays(op->result));
	if (op->forgets)
		prepared_forget(op->server);
	bool left_open =
	        !op->loan && !op->convoy && PQtransactionStatus(op->server->conn) != PQTRANS_IDLE;
	operation_give_back(op, true);
	if (left_open)
		operation_fail(op, "25000",
		               "the statement left a transaction open, which was rolled back: "
		               "use cluster:transaction()");
	else
		finish(op);
}

void operation_settle(struct operation *op, enum status status)
{
	if (status == ST_OK) {
		answered(op);
	} else if (status == ST_ECLIENT) {
		operation_tally(op, true);
		operation_give_back(op, false);
		operation_fail(op, "0A000", OPERATION_COPIES);
	} else if (status == ST_TIMEOUT) {
		const char *endpoint = op->server->endpoint->name;
		server_give_up(op->server);
		operation_give_back(op, false);
		if (op->query.flow && op->timeout > 0 && op->query.timeout == op->timeout) {
			operation_fail_in_time(op, endpoint);
			return;
		}
		operation_fail(
		        op, op->may_commit ? "08007" : "57014",
		        op->may_commit
		                ? "the query was given up after the timeout of the policy's route; "
		                  "its "
		                  "outcome is unknown"
		                : "the query was given up after the timeout of the policy's route");
	} else {
		lost(op);
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
	struct operation *op = flow->owner;
	op->result = result;
	operation_settle(op, status);
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
	                         .suits_convoy = convoy_suits(statement)};
	operation_arm(op);
	borrow(op);
}

void operation_borrow(struct operation *op, const struct dispatch_request *to,
                      operation_done_fn *fn)
{
	*op = (struct operation){
	        .cluster = to->cluster, .fn = fn, .request = *to, .need = need_of(to)};
	borrow(op);
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
	                         .loan = loan,
	                         .server = loan->server};
	loan->busy = true;
	operation_arm(op);
	run(op);
}

void operation_run(struct operation *op, struct loan *loan, const struct exec_query *query,
                   const struct facts *facts, bool may_commit, operation_done_fn *fn)
{
	const struct operation_statement statement = {
	        .query = *query,
	        .intent = may_commit ? INTENT_WRITE : INTENT_READ,
	        .fingerprint = facts->fingerprint,
	        .kind = facts->kind,
	        .forgets = facts_forget_prepared(facts),
	};
	operation_run_on(op, loan, &statement, fn);
}

void operation_move(struct operation *to, struct operation *from, operation_done_fn *fn)
{
	struct flow *flow = from->query.flow;
	*to = *from;
	*from = (struct operation){0};
	to->fn = fn;
	to->query = (struct exec_query){.sql = "", .timeout = to->query.timeout, .flow = flow};
	to->dispatch = (struct dispatch){.endpoint = to->dispatch.endpoint};
	to->canceller = (struct canceller){0};
	flow->owner = to;
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
