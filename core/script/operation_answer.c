/* operation_answer.c - what an operation's answer means: its end, or that it is run again where it
 * may be. */
/* SPDX-License-Identifier: MIT */
#include "script/operation_parts.h"

#include "base/clock.h"
#include "cluster/prepared.h"
#include "cluster/statistics.h"
#include "script/binary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is(const char *sqlstate, const char *other)
{
	return strcmp(sqlstate, other) == 0;
}

/* There may be an endpoint of the route that was not tried. */
static bool may_go_elsewhere(const struct operation *op)
{
	return op->request.route && !op->begun && op->attempts <= op->cluster->endpoint_count;
}

static void go_elsewhere(struct operation *op, const struct endpoint *without)
{
	op->request.excluded |= UINT64_C(1) << without->index;
	operation_seek(op);
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
	operation_seek(op);
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

/* NULL: it is none of the batch. */
static const struct exec_query *failed_query(const struct operation *op)
{
	const struct exec_batch *b = op->query.batch;
	if (!b)
		return &op->query;
	return b->failed < b->count ? &b->queries[b->failed] : NULL;
}

/* What the server has prepared is gone, or outdated. PostgreSQL has done nothing then, and outside
 * of a block it can be prepared anew, and run again. CALL and DO may have committed something on
 * their way to such an error of their own. */
static bool prepared_anew(struct operation *op, const char *sqlstate)
{
	const struct exec_batch *batch = op->query.batch;
	const struct exec_query *q = failed_query(op);
	bool gone = is(sqlstate, "26000");
	if (!q || !q->prepared || !(gone || is_outdated(op->result, sqlstate)))
		return false;
	prepared_drop(op->server, q, gone);
	if (op->reprepared >= (batch ? batch->count : 1) || op->timed_out || op->kind == SQL_CALL ||
	    op->kind == SQL_DO || PQtransactionStatus(op->server->conn) != PQTRANS_IDLE)
		return false;
	PQclear(op->result);
	op->result = NULL;
	op->reprepared++;
	if (op->convoy) { /* the others go on */
		operation_give_back(op, true);
		operation_seek(op);
	} else {
		operation_send(op);
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

static void fail_left_open(struct operation *op)
{
	char message[sizeof op->message];
	snprintf(message, sizeof message,
	         "the statement left a transaction open, which was rolled back: %s",
	         op->advice->left_open);
	operation_fail(op, "25000", message);
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
		fail_left_open(op);
	else
		operation_finish(op);
}

void operation_settle(struct operation *op, enum status status)
{
	if (status == ST_OK) {
		answered(op);
	} else if (status == ST_ECLIENT) {
		operation_tally(op, true);
		operation_give_back(op, false);
		operation_fail(op, "0A000", op->advice->copies);
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
