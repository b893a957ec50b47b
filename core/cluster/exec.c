/* exec.c - see exec.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/exec.h"

#include "cluster/alarms.h"
#include "cluster/pipeline.h"

#include <stdio.h>

static void stop(struct exec *x)
{
	ev_timer_stop(x->server->context->loop, &x->timer);
	server_want_write(x->server, false);
	pipeline_end(x);
	x->server = NULL;
}

static void finish(struct exec *x, enum status status)
{
	PGresult *result = x->result;
	x->result = NULL;
	if (status != ST_OK) {
		PQclear(result);
		result = NULL;
	}
	stop(x);
	x->fn(x, status, result);
}

static void lose(struct exec *x)
{
	server_note_error(x->server);
	finish(x, ST_ESERVER);
}

bool exec_keep(struct exec *x, PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_COPY_IN:
	case PGRES_COPY_OUT:
	case PGRES_COPY_BOTH:
		PQclear(result);
		return false;
	default:
		break;
	}
	if (x->result && PQresultStatus(x->result) == PGRES_FATAL_ERROR) {
		PQclear(result);
		return true;
	}
	PQclear(x->result);
	x->result = result;
	return true;
}

static void take_batch(struct exec *x)
{
	enum status status = pipeline_take(x);
	if (status == ST_ESERVER)
		lose(x);
	else if (status != ST_AGAIN)
		finish(x, status);
}

static void take_results(struct exec *x)
{
	PGconn *conn = x->server->conn;
	if (x->steps) {
		take_batch(x);
		return;
	}
	while (!PQisBusy(conn)) {
		PGresult *result = PQgetResult(conn);
		if (!result) {
			if (PQstatus(conn) == CONNECTION_BAD)
				lose(x);
			else
				finish(x, ST_OK);
			return;
		}
		if (!exec_keep(x, result)) {
			finish(x, ST_ECLIENT);
			return;
		}
	}
}

static void on_exec_event(struct server *s, int events)
{
	struct exec *x = s->holder;
	if ((events & EV_READ) && !PQconsumeInput(s->conn)) {
		lose(x);
		return;
	}
	int pending = x->sent < x->steps ? pipeline_send(x) : PQflush(s->conn);
	if (pending < 0) {
		lose(x);
		return;
	}
	server_want_write(s, pending > 0);
	take_results(x);
}

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct exec *x = LIST_ENTRY(timer, struct exec, timer);
	snprintf(x->server->error, sizeof x->server->error, "no answer within the timeout");
	finish(x, ST_TIMEOUT);
}

/* Sends it, or begins to. What is left to be flushed, as PQflush(). */
static int send(struct exec *x, const struct exec_query *q)
{
	PGconn *conn = x->server->conn;
	if (q->batch || q->prepared)
		return pipeline_start(x, q);
	int sent = q->count < 0 ? PQsendQuery(conn, q->sql)
	                        : PQsendQueryParams(conn, q->sql, q->count, q->types, q->values,
	                                            q->lengths, q->formats, 0);
	return sent ? PQflush(conn) : -1;
}

enum status exec_start(struct exec *x, struct server *server, const struct exec_query *q,
                       exec_done_fn *fn)
{
	*x = (struct exec){.server = server, .fn = fn};
	ev_init(&x->timer, on_timeout);
	int pending = send(x, q);
	if (pending < 0) {
		server_note_error(server);
		exec_cancel(x);
		return ST_ESERVER;
	}
	if (q->timeout > 0) {
		ev_timer_set(&x->timer, q->timeout, 0);
		alarm_start(server->context, &x->timer);
	}
	server_hold(server, on_exec_event, x);
	server_want_write(server, pending > 0);
	return ST_OK;
}

void exec_cancel(struct exec *x)
{
	if (!x->server)
		return;
	PQclear(x->result);
	x->result = NULL;
	stop(x);
}
