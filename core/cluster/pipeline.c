/* pipeline.c - see pipeline.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/pipeline.h"

#include "cluster/prepared.h"

#include <stdlib.h>
#include <string.h>

#define FLUSH_BYTES (size_t)32768 /* that are handed to the kernel at a time */

/* Without any it may be -1, for exec.c. */
static int count_of(const struct exec_query *q)
{
	return q->count < 0 ? 0 : q->count;
}

static bool send_params(PGconn *conn, const struct exec_query *q)
{
	return PQsendQueryParams(conn, q->sql, count_of(q), q->types, q->values, q->lengths,
	                         q->formats, 0);
}

static bool send_execute(PGconn *conn, const char *name, int format, const struct exec_query *q)
{
	return PQsendQueryPrepared(conn, name, count_of(q), q->values, q->lengths, q->formats,
	                           format);
}

static bool send_prepared(PGconn *conn, const struct prepared *p, const struct exec_query *q)
{
	return send_execute(conn, prepared_name(p), q->text_only ? 0 : prepared_format(p), q);
}

static size_t bytes_of(const struct exec_query *q)
{
	size_t bytes = strlen(q->sql);
	for (int i = 0; i < q->count; i++)
		bytes += (size_t)q->lengths[i];
	return bytes;
}

static bool is_same(const struct exec_query *a, const struct exec_query *b)
{
	size_t types = (size_t)a->count * sizeof *a->types;
	return a->count == b->count && (a->sql == b->sql || strcmp(a->sql, b->sql) == 0) &&
	       (types == 0 || memcmp(a->types, b->types, types) == 0);
}

/* The unnamed statement stays until the next Parse of it: repeated statements are parsed once. */
static bool send_unnamed(struct exec *x, size_t number)
{
	const struct exec_query *queries = x->batch->queries, *q = &queries[number];
	if (x->unnamed && is_same(&queries[x->unnamed - 1], q))
		return send_execute(x->server->conn, "", 0, q);
	x->unnamed = number + 1;
	return send_params(x->server->conn, q);
}

/* What of it the server has by a name, or will have then; NULL: it runs without. It is known from
 * now on, for the rest of the batch; drop_unparsed() takes that back. */
static bool prepare_in_batch(struct exec *x, size_t number, struct prepared **p)
{
	const struct exec_query *q = &x->batch->queries[number];
	struct prepared_cache *c = prepared_cache_of(x->server);
	*p = c ? prepared_find(c, q) : NULL;
	if (*p || !c || !x->parses || !(*p = prepared_new(c, q, true)))
		return true;
	prepared_add(c, *p);
	x->parses[number] = true;
	x->steps++;
	x->sent++;
	return PQsendPrepare(x->server->conn, prepared_name(*p), q->sql, q->count, q->types);
}

static bool send_number(struct exec *x, size_t number)
{
	const struct exec_query *q = &x->batch->queries[number];
	struct prepared *p = NULL;
	if (q->prepared && !prepare_in_batch(x, number, &p))
		return false;
	x->sent++;
	return p ? send_execute(x->server->conn, prepared_name(p), 0, q) : send_unnamed(x, number);
}

/* The rest of the batch, as far as the socket takes it. */
int pipeline_send(struct exec *x)
{
	PGconn *conn = x->server->conn;
	const struct exec_batch *b = x->batch;
	int pending = PQflush(conn);
	for (size_t bytes = 0; pending == 0 && x->queued < b->count; x->queued++) {
		if (!send_number(x, x->queued))
			return -1;
		bytes += bytes_of(&b->queries[x->queued]);
		if (bytes >= FLUSH_BYTES) {
			pending = PQflush(conn);
			bytes = 0;
		}
	}
	if (pending != 0 || x->queued < b->count)
		return pending;
	if (!PQpipelineSync(conn))
		return -1;
	x->sent++;
	return PQflush(conn);
}

static bool has_prepared(const struct exec_batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		if (b->queries[i].prepared)
			return true;
	return false;
}

bool pipeline_enter(PGconn *conn)
{
	(void)PQsendQueryParams(conn, NULL, 0, NULL, NULL, NULL, NULL, 0);
	return PQenterPipelineMode(conn);
}

static int start_batch(struct exec *x, struct exec_batch *b)
{
	exec_batch_clear(b);
	b->failed = b->count;
	x->batch = b;
	x->steps = b->count + 1;
	if (has_prepared(b))
		x->parses = calloc(b->count, sizeof *x->parses);
	return pipeline_enter(x->server->conn) ? pipeline_send(x) : -1;
}

static bool send_closes(PGconn *conn, const struct prepared_cache *c, unsigned count)
{
	char sql[PREPARED_NAME + 16];
	for (unsigned i = 0; i < count; i++) {
		prepared_close_sql(c, i, sql);
		/* A Sync of its own: when it fails, that is no failure of the statement's. */
		if (!PQsendQueryParams(conn, sql, 0, NULL, NULL, NULL, NULL, 0) ||
		    !PQpipelineSync(conn))
			return false;
	}
	return true;
}

static int prepare(struct exec *x, struct prepared_cache *c, const struct exec_query *q)
{
	PGconn *conn = x->server->conn;
	bool in_block = PQtransactionStatus(conn) != PQTRANS_IDLE;
	unsigned doomed = in_block ? 0 : prepared_doomed(c);
	x->closing = 2 * (size_t)doomed;
	x->steps = x->sent = x->closing + 3;
	bool sent = pipeline_enter(conn) && send_closes(conn, c, doomed) &&
	            PQsendPrepare(conn, prepared_name(x->preparing), q->sql, q->count, q->types) &&
	            send_prepared(conn, x->preparing, q) && PQpipelineSync(conn);
	return sent ? PQflush(conn) : -1;
}

static int start_prepared(struct exec *x, const struct exec_query *q)
{
	PGconn *conn = x->server->conn;
	PGTransactionStatusType block = PQtransactionStatus(conn);
	struct prepared_cache *c = prepared_cache_of(x->server);
	x->prepared = c ? prepared_find(c, q) : NULL;
	if (x->prepared)
		return send_prepared(conn, x->prepared, q) ? PQflush(conn) : -1;
	if (c && block != PQTRANS_INERROR)
		x->preparing = prepared_new(c, q, block != PQTRANS_IDLE);
	if (x->preparing)
		return prepare(x, c, q);
	return send_params(conn, q) ? PQflush(conn) : -1;
}

bool pipeline_send_known(struct server *server, const struct exec_query *q)
{
	struct prepared_cache *c = q->prepared ? prepared_cache_of(server) : NULL;
	const struct prepared *p = c ? prepared_find(c, q) : NULL;
	return p ? send_prepared(server->conn, p, q) : send_params(server->conn, q);
}

int pipeline_start(struct exec *x, const struct exec_query *q)
{
	return q->batch ? start_batch(x, q->batch) : start_prepared(x, q);
}

/* The step that is being answered prepares its statement. */
static bool at_parse(const struct exec *x)
{
	return x->batch && x->parses && x->number < x->batch->count && x->parses[x->number] &&
	       !x->parsed;
}

/* It was not prepared: it failed itself, or another ahead of it. */
static void drop_unparsed(struct exec *x)
{
	if (at_parse(x))
		prepared_drop(x->server, &x->batch->queries[x->number], true);
}

/* False: COPY, or one row of many. */
static bool keep_of_batch(struct exec *x, PGresult *result)
{
	struct exec_batch *b = x->batch;
	if (PQresultStatus(result) == PGRES_FATAL_ERROR || x->number >= b->count) {
		drop_unparsed(x);
		if (b->failed == b->count)
			b->failed = x->number;
		return exec_keep(x, result); /* the first failure; a COMMIT's at the Sync, too */
	}
	if (at_parse(x)) {
		PQclear(result);
		return true;
	}
	PQclear(b->results[x->number]);
	b->results[x->number] = result;
	ExecStatusType status = PQresultStatus(result);
	return status == PGRES_EMPTY_QUERY || status == PGRES_COMMAND_OK ||
	       status == PGRES_TUPLES_OK;
}

static bool keep_of_prepared(struct exec *x, PGresult *result)
{
	if (x->answered < x->closing) {
		PQclear(result);
		return true;
	}
	if (x->answered == x->closing && PQresultStatus(result) == PGRES_COMMAND_OK) {
		prepared_add(prepared_cache_of(x->server), x->preparing);
		x->prepared = x->preparing;
		x->preparing = NULL;
		PQclear(result);
		return true;
	}
	return exec_keep(x, result);
}

/* A Sync has no NULL behind it; what fails there (a deferred constraint) may have one ahead. */
static bool at_sync(const struct exec *x)
{
	return x->answered + 1 == x->steps || (x->answered < x->closing && x->answered % 2);
}

/* The end of a step. */
static void note_answer(struct exec *x)
{
	if (x->answered < x->closing && x->answered % 2 == 0)
		prepared_closed(prepared_cache_of(x->server));
	x->answered++;
	x->nulls = 0;
	x->parsed = at_parse(x);
	if (!x->parsed)
		x->number++;
}

static bool take(struct exec *x, PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_PIPELINE_SYNC:
		PQclear(result);
		note_answer(x);
		return true;
	case PGRES_PIPELINE_ABORTED:
		drop_unparsed(x);
		PQclear(result);
		return true;
	default:
		return x->batch ? keep_of_batch(x, result) : keep_of_prepared(x, result);
	}
}

enum status pipeline_take(struct exec *x)
{
	PGconn *conn = x->server->conn;
	while (x->answered < x->sent && !PQisBusy(conn)) {
		PGresult *result = PQgetResult(conn);
		if (PQstatus(conn) == CONNECTION_BAD) {
			PQclear(result);
			return ST_ESERVER;
		}
		if (!result && !at_sync(x))
			note_answer(x);
		else if (!result && ++x->nulls > 2)
			return ST_ESERVER;
		else if (result && !take(x, result))
			return ST_ECLIENT;
	}
	if (x->answered < x->steps)
		return ST_AGAIN;
	return PQexitPipelineMode(conn) ? ST_OK : ST_ESERVER;
}

void pipeline_end(struct exec *x)
{
	free(x->preparing);
	x->preparing = NULL;
	free(x->parses);
	x->parses = NULL;
}

bool exec_is_incomplete(const struct exec *x)
{
	return x->sent < x->steps;
}

void exec_batch_clear(struct exec_batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		PQclear(b->results[i]);
		b->results[i] = NULL;
	}
}
