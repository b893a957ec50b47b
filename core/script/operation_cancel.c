/* operation_cancel.c - an operation that has run into its timeout, or that another task cancels. */
/* SPDX-License-Identifier: MIT */
#include "script/operation_parts.h"

#include "base/plain.h"
#include "cluster/alarms.h"

#include <stdio.h>

/* s for PostgreSQL to answer a statement that has run into its timeout */
#define CANCEL_GRACE 1.0

void operation_fail_in_time(struct operation *op, const char *endpoint)
{
	char message[sizeof op->message];
	bool answered = op->result != NULL;
	bool unknown = op->may_commit && !answered;
	plain_print(message, sizeof message,
	            "the statement was cancelled at its timeout, after %g s: running on %s%s",
	            op->timeout, endpoint,
	            answered  ? ""
	            : unknown ? ", which has not answered; the outcome is unknown"
	                      : ", which has not answered");
	PQclear(op->result);
	op->result = NULL;
	operation_fail(op, unknown ? "08007" : "57014", message);
}

static void on_cancel_delivered(struct canceller *canceller, bool sound)
{
	struct operation *op = LIST_ENTRY(canceller, struct operation, canceller);
	op->unfit = !sound;
	if (!sound)
		snprintf(op->server->error, sizeof op->server->error,
		         "a cancel request was under way for too long");
	operation_settle(op, ST_OK);
}

/* It was answered; that the server goes away now is told from what becomes of it next. */
static void on_event_meanwhile(struct server *server, int events)
{
	struct operation *op = server->holder;
	(void)events;
	if (PQconsumeInput(server->conn))
		return;
	server_note_error(server);
	canceller_stop(&op->canceller);
	operation_settle(op, ST_OK);
}

void operation_take(struct operation *op, enum status status, PGresult *result)
{
	op->result = result;
	if (status != ST_OK)
		canceller_stop(&op->canceller);
	else if (!canceller_answered(&op->canceller, on_cancel_delivered)) {
		server_hold(op->server, on_event_meanwhile, op);
		return;
	}
	operation_settle(op, status);
}

void operation_executed(struct exec *exec, enum status status, PGresult *result)
{
	operation_take(LIST_ENTRY(exec, struct operation, exec), status, result);
}

bool operation_cancel(struct operation *op)
{
	struct flow *flow = op->query.flow;
	bool flows = flow && flow->server;
	if (!op->cluster || !op->server)
		return false;
	if (op->exec.server || flows)
		canceller_start(&op->canceller, op->server);
	if (flows)
		flow_refuse(flow);
	return true;
}

/* What it was waiting for, and why that has not come: as the route's patience would have told. */
static void describe_wait(const struct operation *op, char *out, size_t size)
{
	const struct dispatch *d = &op->dispatch;
	if (d->waiter.pool) {
		snprintf(out, size, "%s", d->endpoint->name);
		return;
	}
	bool parked = d->reason == PARKED_ENDPOINT;
	const char *lack = parked ? dispatch_lack(d) : NULL;
	const struct endpoint *e = parked ? operation_blame(op, d->endpoint) : NULL;
	snprintf(out, size, "an endpoint of its route%s%s%s%s%s%s", lack ? ": " : "",
	         lack ? lack : "", e ? ": connecting to " : "", e ? e->name : "", e ? ": " : "",
	         e ? e->last_error : "");
}

static void run_out_of_time_waiting(struct operation *op)
{
	char what[sizeof op->message - 100], message[sizeof op->message];
	describe_wait(op, what, sizeof what);
	plain_print(message, sizeof message,
	            "the call ran into its timeout, after %g s: waiting for %s", op->timeout, what);
	dispatch_cancel(&op->dispatch);
	operation_fail(op, "57014", message);
}

static void give_up_answer(struct operation *op)
{
	const char *endpoint = op->server->endpoint->name;
	canceller_stop(&op->canceller);
	exec_cancel(&op->exec);
	server_give_up(op->server);
	operation_tally(op, true);
	snprintf(op->server->error, sizeof op->server->error,
	         "no answer to a cancel request within %g s", CANCEL_GRACE);
	operation_give_back(op, false);
	operation_fail_in_time(op, endpoint);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct operation *op = LIST_ENTRY(timer, struct operation, deadline);
	(void)loop;
	(void)events;
	if (!op->server) {
		run_out_of_time_waiting(op);
	} else if (!op->exec.server) {
		return; /* answered already, but for a cancel request that is on its way */
	} else if (op->timed_out) {
		give_up_answer(op);
	} else {
		op->timed_out = true;
		canceller_start(&op->canceller, op->server);
		ev_timer_set(timer, CANCEL_GRACE, 0);
		alarm_start(op->cluster->context, timer);
	}
}

void operation_arm(struct operation *op)
{
	ev_init(&op->deadline, on_deadline);
	if (op->timeout <= 0)
		return;
	ev_timer_set(&op->deadline, op->timeout, 0);
	alarm_start(op->cluster->context, &op->deadline);
}
