/* convoy.c - see convoy.h. */
/* SPDX-License-Identifier: MIT */
#include "script/convoy.h"

#include "base/clock.h"
#include "cluster/pipeline.h"
#include "cluster/prepared.h"
#include "cluster/statistics.h"
#include "script/operation_parts.h"

#include <math.h>
#include <stdlib.h>

#define KNOWN_AFTER 5 /* calls that an average is believed of */

/* Each of `ops` points here while it is neither answered nor gone. */
struct convoy {
	struct server *server;
	double started;
	struct operation *ops[CONVOY_SIZE];
	PGresult *results[CONVOY_SIZE]; /* NULL: not answered, or not run since one ahead failed */
	unsigned count;
	unsigned answered; /* how many have their results, or none */
	unsigned nulls;    /* of PQgetResult(), since the last result */
	bool at_work;      /* it is over, and a function of this file calls out */
};

bool convoy_suits(const struct operation_statement *s)
{
	return s->intent == INTENT_READ && !s->declared_read && s->kind == SQL_SELECT &&
	       s->pins == 0 && s->timeout <= 0 && s->query.timeout <= 0 && !s->query.batch &&
	       !s->query.flow;
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
	op->exec = (struct exec){0}; /* of a server before this one, perhaps */
	c->ops[c->count++] = op;
}

static struct operation *take_out(struct convoy *c, unsigned i)
{
	struct operation *op = c->ops[i];
	c->ops[i] = NULL;
	if (op)
		op->convoy = NULL;
	return op;
}

static void release(struct convoy *c, bool reusable)
{
	struct server *server = c->server;
	c->server = NULL;
	server_want_write(server, false);
	pool_release(server, reusable);
}

static void convoy_free(struct convoy *c)
{
	for (unsigned i = 0; i < c->count; i++)
		PQclear(c->results[i]);
	free(c);
}

/* Those that are left have no server any more, and begin anew. The caller is at work. */
static void disband(struct convoy *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		struct operation *op = take_out(c, i);
		if (!op)
			continue;
		op->server = NULL;
		operation_begin_anew(op);
	}
}

/* The connection is lost, for the one that was running; the others had not begun, as far as anybody
 * has been told. */
static void lose(struct convoy *c)
{
	unsigned running = c->answered < c->count ? c->answered : c->count - 1;
	struct operation *op = c->ops[running];
	server_note_error(c->server);
	c->ops[running] = NULL;
	c->at_work = true;
	operation_settle(op, ST_ESERVER); /* op->convoy says that the server is ours */
	release(c, false);
	disband(c);
	convoy_free(c);
}

/* The first one has failed at the end of the transaction, or all have: alone, they may not. */
static void fail_together(struct convoy *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		PQclear(c->results[i]);
		c->results[i] = NULL;
		c->ops[i]->suits_convoy = false;
	}
}

/* For the statistics, each has taken its share of the time. */
static void settle_one(struct convoy *c, unsigned i, double share)
{
	struct operation *op = c->ops[i];
	PGresult *result = c->results[i];
	if (!op || !result)
		return;
	c->ops[i] = NULL;
	c->results[i] = NULL;
	op->result = result;
	op->since = clock_now() - share;
	operation_settle(op, ST_OK); /* op->convoy says that the server is ours */
}

/* The transaction is over. Who was not run begins anew, last of all, when the server is free. */
static void settle_all(struct convoy *c)
{
	PGconn *conn = c->server->conn;
	bool reusable = PQexitPipelineMode(conn) && PQtransactionStatus(conn) == PQTRANS_IDLE;
	double share = (clock_now() - c->started) / c->count;
	c->at_work = true;
	for (unsigned i = 0; i < c->count; i++)
		settle_one(c, i, share);
	release(c, reusable);
	disband(c);
	convoy_free(c);
}

/* False: the convoy is over. */
static bool take(struct convoy *c, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);
	c->nulls = 0;
	if (status == PGRES_PIPELINE_SYNC) {
		PQclear(result);
		settle_all(c);
		return false;
	}
	if (c->answered == c->count && status == PGRES_FATAL_ERROR)
		fail_together(c);
	if (c->answered < c->count && !c->results[c->answered] && status != PGRES_PIPELINE_ABORTED)
		c->results[c->answered] = result;
	else
		PQclear(result);
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
		if (PQstatus(conn) == CONNECTION_BAD || (!result && ++c->nulls > 2)) {
			PQclear(result);
			lose(c);
			return;
		}
		if (!result && c->answered < c->count)
			c->answered++;
		else if (result && !take(c, result))
			return;
	}
}

static bool start(struct convoy *c)
{
	PGconn *conn = c->server->conn;
	c->started = clock_now();
	bool sent = pipeline_enter(conn);
	for (unsigned i = 0; sent && i < c->count; i++)
		sent = pipeline_send_known(c->server, &c->ops[i]->query);
	int pending = sent && PQpipelineSync(conn) ? PQflush(conn) : -1;
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
	if (c->at_work) /* that goes on with those that are left */
		return;
	c->at_work = true;
	server_give_up(c->server);
	release(c, false);
	disband(c);
	convoy_free(c);
}
