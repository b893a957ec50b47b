/* convoy.c - see convoy.h. */
/* SPDX-License-Identifier: MIT */
#include "script/convoy.h"

#include "base/clock.h"
#include "cluster/prepared.h"
#include "cluster/statistics.h"
#include "script/operation_parts.h"

#include <math.h>
#include <stdlib.h>

#define KNOWN_AFTER 5 /* calls that an average is believed of */

/* Each of `ops` points here while it is neither answered nor gone. */
struct convoy {
	struct server *server; /* NULL: it was closed; what is at work with the convoy frees it */
	struct operation *ops[CONVOY_SIZE];
	unsigned count, answered;
	unsigned nulls;   /* of PQgetResult(), since the last result */
	PGresult *result; /* of the next to be answered, so far */
	bool at_work;     /* a function of this file calls out */
};

bool convoy_suits(const struct operation_statement *s)
{
	return s->intent == INTENT_READ && s->kind == SQL_SELECT && s->pins == 0 &&
	       s->timeout <= 0 && s->query.timeout <= 0 && !s->query.batch && !s->query.flow;
}

/* How long PostgreSQL takes for it, in seconds: what an answer has taken on average, without the
 * way there and back, which is what a probe takes. INFINITY: nobody knows. */
static double cost_of(const struct operation *op, const struct endpoint *e)
{
	const struct statement_tally *t = statistics_of(e->cluster->statistics, op->fingerprint);
	const struct tally *here = t ? t->on[e->index] : NULL;
	if (!here || here->calls < KNOWN_AFTER)
		return INFINITY;
	return fmax(tally_mean(here) - e->latency, 0);
}

/* Whether it may go with others, and takes no longer than `*left`; what is left then. What has to
 * be prepared first goes alone. */
static bool may_join(const struct operation *op, struct server *server, double *left)
{
	if (!op->suits_convoy || !op->query.sql)
		return false;
	struct prepared_cache *c = op->query.prepared ? prepared_cache_of(server) : NULL;
	if (op->query.prepared && !(c && prepared_find(c, &op->query)))
		return false;
	*left -= cost_of(op, server->endpoint);
	return *left >= 0;
}

/* Who waits next for a server like this one, and may come along; NULL: nobody. */
static struct operation *next_in_line(struct server *server, double *left)
{
	struct pool_waiter *waiter = pool_next_waiter(server);
	struct operation *op =
	        waiter ? operation_of_dispatch(LIST_ENTRY(waiter, struct dispatch, waiter)) : NULL;
	return op && may_join(op, server, left) ? op : NULL;
}

static void join(struct convoy *c, struct operation *op)
{
	op->convoy = c;
	op->server = c->server;
	op->since = clock_now();
	c->ops[c->count++] = op;
}

static bool send(struct server *server, const struct operation *op)
{
	const struct exec_query *q = &op->query;
	int count = q->count < 0 ? 0 : q->count;
	PGconn *conn = server->conn;
	if (!q->prepared)
		return PQsendQueryParams(conn, q->sql, count, q->types, q->values, q->lengths,
		                         q->formats, 0) &&
		       PQpipelineSync(conn);
	const struct prepared *p = prepared_find(prepared_cache_of(server), q);
	int format = q->text_only ? 0 : prepared_format(p);
	return PQsendQueryPrepared(conn, prepared_name(p), count, q->values, q->lengths, q->formats,
	                           format) &&
	       PQpipelineSync(conn);
}

static struct operation *take_out(struct convoy *c, unsigned i)
{
	struct operation *op = c->ops[i];
	c->ops[i] = NULL;
	if (op)
		op->convoy = NULL;
	return op;
}

static void close_server(struct convoy *c, bool reusable)
{
	struct server *server = c->server;
	c->server = NULL;
	server_want_write(server, false);
	PQclear(c->result);
	c->result = NULL;
	pool_release(server, reusable);
}

/* It is over for those that were not answered: the server is closed, and they begin anew. */
static void disband(struct convoy *c)
{
	bool at_work = c->at_work;
	c->at_work = true;
	close_server(c, false);
	for (unsigned i = 0; i < c->count; i++) {
		struct operation *op = take_out(c, i);
		if (!op)
			continue;
		op->server = NULL;
		operation_begin_anew(op);
	}
	c->at_work = at_work;
	if (!at_work)
		free(c);
}

/* The connection is lost, for the one that was running; the others had not begun. */
static void lose(struct convoy *c)
{
	struct operation *op = c->ops[c->answered];
	server_note_error(c->server);
	c->ops[c->answered] = NULL;
	c->at_work = true;
	operation_settle(op, ST_ESERVER); /* op->convoy says that the server is ours */
	if (c->server)
		disband(c);
	free(c);
}

/* The last one has the server to itself, as if it had come alone. */
static void settle_last(struct convoy *c, PGresult *result)
{
	struct server *server = c->server;
	struct operation *op = take_out(c, c->count - 1);
	server_want_write(server, false);
	op->unfit = !PQexitPipelineMode(server->conn);
	op->result = result;
	free(c);
	operation_settle(op, ST_OK);
}

/* False: the convoy is over. */
static bool settle_next(struct convoy *c)
{
	PGresult *result = c->result;
	struct operation *op = c->ops[c->answered];
	c->result = NULL;
	c->nulls = 0;
	if (c->answered + 1 < c->count && c->ops[c->answered + 1])
		c->ops[c->answered + 1]->since = clock_now(); /* its turn begins */
	if (++c->answered == c->count) {
		settle_last(c, result);
		return false;
	}
	c->ops[c->answered - 1] = NULL;
	op->result = result;
	c->at_work = true;
	operation_settle(op, ST_OK);
	c->at_work = false;
	if (c->server)
		return true;
	free(c);
	return false;
}

/* False: the convoy is over. */
static bool take(struct convoy *c, PGresult *result)
{
	if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
		PQclear(result);
		return settle_next(c);
	}
	if (c->result)
		PQclear(result); /* what failed keeps its first word */
	else
		c->result = result;
	return true;
}

static void on_convoy_event(struct server *server, int events)
{
	struct convoy *c = server->holder;
	PGconn *conn = server->conn;
	int pending = (events & EV_READ) && !PQconsumeInput(conn) ? -1 : PQflush(conn);
	if (pending < 0) {
		lose(c);
		return;
	}
	server_want_write(server, pending > 0);
	while (!PQisBusy(conn)) {
		PGresult *result = PQgetResult(conn);
		if (PQstatus(conn) == CONNECTION_BAD || (!result && ++c->nulls > 1)) {
			PQclear(result);
			lose(c);
			return;
		}
		if (result && !take(c, result))
			return;
	}
}

static bool start(struct convoy *c)
{
	PGconn *conn = c->server->conn;
	bool sent = PQenterPipelineMode(conn);
	for (unsigned i = 0; sent && i < c->count; i++)
		sent = send(c->server, c->ops[i]);
	int pending = sent ? PQflush(conn) : -1;
	if (pending < 0)
		return false;
	server_hold(c->server, on_convoy_event, c);
	server_want_write(c->server, pending > 0);
	return true;
}

bool convoy_start(struct operation *op)
{
	double left = CONVOY_TIME;
	struct server *server = op->server;
	struct operation *next = may_join(op, server, &left) ? next_in_line(server, &left) : NULL;
	struct convoy *c = next ? calloc(1, sizeof *c) : NULL;
	if (!c)
		return false;
	c->server = server;
	join(c, op);
	while (next) {
		dispatch_take_along(&next->dispatch);
		join(c, next);
		next = c->count < CONVOY_SIZE ? next_in_line(server, &left) : NULL;
	}
	if (!start(c))
		lose(c);
	return true;
}

void convoy_leave(struct operation *op)
{
	struct convoy *c = op->convoy;
	for (unsigned i = 0; i < c->count; i++)
		if (c->ops[i] == op)
			take_out(c, i);
	op->convoy = NULL;
	op->server = NULL;
	if (!c->server) /* it is over already */
		return;
	server_give_up(c->server);
	disband(c);
}
