/* flow.c - see flow.h.
 *
 * libpq says nothing of an error that comes while it is in COPY FROM: it leaves it unread until the
 * end of the data. So what there is to send goes out past libpq, which would read meanwhile where
 * it cannot send, and the first byte of what comes in is looked at before libpq gets it. */
/* SPDX-License-Identifier: MIT */
#include "cluster/flow.h"

#include "cluster/alarms.h"
#include "cluster/pipeline.h"

#include <arpa/inet.h>
#include <math.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER    5   /* of a CopyData message */
#define CHUNK     256 /* rows at a time, where libpq can do that */
#define SKIMMED   8   /* reads until what has arrived is believed to go on for long */
#define COPY_DATA 'd'
#define ERROR     'E'

static struct ev_loop *loop_of(const struct flow *f)
{
	return f->server->context->loop;
}

/* Nobody waits: the socket is left alone, and time does not count. */
static void rest(struct flow *f)
{
	server_want_read(f->server, false);
	if (ev_is_active(&f->timer))
		f->left = fmax(ev_timer_remaining(loop_of(f), &f->timer), 1e-3);
	ev_timer_stop(loop_of(f), &f->timer);
}

static void forget_waiting(struct flow *f)
{
	PQclear(f->rows);
	f->rows = NULL;
	PQfreemem(f->data);
	f->data = NULL;
	f->data_taken = false;
}

static void stop(struct flow *f)
{
	rest(f);
	server_want_read(f->server, true); /* as whoever has the server next expects */
	server_want_write(f->server, false);
	forget_waiting(f);
	buffer_free(&f->out);
	f->server = NULL;
}

static void finish(struct flow *f, enum status status)
{
	PGresult *result = f->result;
	f->result = NULL;
	if (status != ST_OK) {
		PQclear(result);
		result = NULL;
	}
	stop(f);
	f->done(f, status, result);
}

static void lose(struct flow *f)
{
	server_note_error(f->server);
	finish(f, ST_ESERVER);
}

/* The last result, but no later one than the first failure. */
static void keep(struct flow *f, PGresult *result)
{
	if (f->result && PQresultStatus(f->result) == PGRES_FATAL_ERROR) {
		PQclear(result);
		return;
	}
	PQclear(f->result);
	f->result = result;
}

static bool has_rows(const PGresult *result)
{
#ifdef LIBPQ_HAS_CHUNK_MODE
	if (PQresultStatus(result) == PGRES_TUPLES_CHUNK)
		return true;
#endif
	return PQresultStatus(result) == PGRES_SINGLE_TUPLE;
}

static void set_row_mode(PGconn *conn)
{
#ifdef LIBPQ_HAS_CHUNK_MODE
	PQsetChunkedRowsMode(conn, CHUNK);
#else
	PQsetSingleRowMode(conn);
#endif
}

static bool take(struct flow *f);

/* The data of COPY begins to flow. Returns as take(). */
static bool begin_copy(struct flow *f, ExecStatusType status)
{
	enum flow_kind kind = status == PGRES_COPY_IN ? FLOW_COPY_IN : FLOW_COPY_OUT;
	if (status == PGRES_COPY_BOTH || kind != f->kind) {
		finish(f, ST_ECLIENT);
		return false;
	}
	f->copying = true;
	return kind == FLOW_COPY_IN || take(f);
}

static bool take_results(struct flow *f)
{
	PGconn *conn = f->server->conn;
	while (!PQisBusy(conn)) {
		PGresult *result = PQgetResult(conn);
		ExecStatusType status = PQresultStatus(result);
		if (!result && PQstatus(conn) == CONNECTION_BAD) {
			lose(f);
			return false;
		} else if (!result) {
			finish(f, ST_OK);
			return false;
		} else if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT ||
		           status == PGRES_COPY_BOTH) {
			PQclear(result);
			return begin_copy(f, status);
		} else if (!has_rows(result)) {
			keep(f, result);
		} else if (f->dropping) {
			PQclear(result);
		} else {
			f->rows = result;
			return true;
		}
	}
	return false;
}

static bool take_data(struct flow *f)
{
	while ((f->size = PQgetCopyData(f->server->conn, &f->data, true)) > 0) {
		if (!f->dropping)
			return true;
		forget_waiting(f);
	}
	if (f->size == 0)
		return false;
	f->copying = false;
	return take_results(f);
}

/* From libpq, what it has read. True: there is something for the owner. False: there is not yet, or
 * it is over. */
static bool take(struct flow *f)
{
	return f->copying ? take_data(f) : take_results(f);
}

static void be_ready(struct flow *f)
{
	rest(f);
	f->ready(f);
}

static void receive(struct flow *f)
{
	do {
		if (!PQconsumeInput(f->server->conn)) {
			lose(f);
			return;
		}
		if (take(f)) {
			be_ready(f);
			return;
		}
	} while (f->server && stream_pending(&f->server->stream));
}

/* The first byte of what comes in; 0: there is none, or the end. */
static char peek(const struct stream *s)
{
	char first = 0;
	ssize_t n = s->tls ? SSL_peek(s->tls, &first, 1) : recv(s->fd, &first, 1, MSG_PEEK);
	return n == 1 ? first : 0;
}

/* During COPY FROM: notices are read; an error ends it, and stays unread until flow_put_end(). Were
 * it none, but the second half of a notice, nothing is lost: PostgreSQL undoes the COPY. False: it
 * is over. */
static bool heed(struct flow *f)
{
	PGconn *conn = f->server->conn;
	if (f->refused || peek(&f->server->stream) == ERROR) {
		f->refused = true;
		return true;
	}
	if (!PQconsumeInput(conn)) {
		lose(f);
		return false;
	}
	(void)PQisBusy(conn); /* has the notices taken */
	return true;
}

/* What was refused is not sent, but for the rest of a message of which a part was: PostgreSQL would
 * take for that whatever came next, and TLS wants a write that it has begun to be repeated. False:
 * the socket takes no more for now. */
static bool send_batch(struct flow *f)
{
	bool begun = f->sending;
	f->sending = false;
	while (buffer_size(&f->out) > 0 && (begun || !f->refused)) {
		size_t sent;
		enum status status = stream_write(&f->server->stream, buffer_data(&f->out),
		                                  buffer_size(&f->out), &sent);
		f->sending = status == ST_AGAIN;
		if (f->sending)
			return false;
		if (status != ST_OK) {
			f->refused = true; /* libpq finds out why */
			break;
		}
		buffer_consume(&f->out, sent);
		begun = true;
	}
	buffer_free(&f->out);
	return true;
}

static void on_copying_in(struct flow *f, int events)
{
	if ((events & EV_READ) && !heed(f))
		return;
	if (!send_batch(f)) {
		if (f->refused) /* which stays unread */
			server_want_read(f->server, false);
		return;
	}
	server_want_write(f->server, false);
	be_ready(f);
}

static void flush(struct flow *f)
{
	int pending = PQflush(f->server->conn);
	if (pending < 0) {
		lose(f);
		return;
	}
	f->unsent = pending > 0;
	server_want_write(f->server, f->unsent);
}

static void on_flow_event(struct server *s, int events)
{
	struct flow *f = s->holder;
	if (f->copying && f->kind == FLOW_COPY_IN) {
		on_copying_in(f, events);
		return;
	}
	if (f->unsent)
		flush(f);
	if (f->server && (events & EV_READ))
		receive(f);
}

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct flow *f = LIST_ENTRY(timer, struct flow, timer);
	snprintf(f->server->error, sizeof f->server->error, "no answer within the timeout");
	finish(f, ST_TIMEOUT);
}

static void listen_on(struct flow *f)
{
	server_want_read(f->server, true);
	if (f->left <= 0)
		return;
	ev_timer_set(&f->timer, f->left, 0);
	alarm_start(f->server->context, &f->timer);
}

/* To prepare it takes a trip, or libpq's pipeline mode. In the extended protocol, also where there
 * are no parameters: it takes one statement only. */
enum status flow_start(struct flow *f, struct server *server, const struct exec_query *q,
                       flow_ready_fn *ready, flow_done_fn *done, void *owner)
{
	PGconn *conn = server->conn;
	bool sent = pipeline_send_known(server, q);
	if (sent && f->kind == FLOW_ROWS)
		set_row_mode(conn);
	int pending = sent ? PQflush(conn) : -1;
	if (pending < 0) {
		server_note_error(server);
		return ST_ESERVER;
	}
	*f = (struct flow){.kind = f->kind,
	                   .server = server,
	                   .owner = owner,
	                   .ready = ready,
	                   .done = done,
	                   .unsent = pending > 0,
	                   .left = q->timeout};
	ev_timer_init(&f->timer, on_timeout, 0, 0);
	server_hold(server, on_flow_event, f);
	server_want_write(server, f->unsent);
	listen_on(f);
	return ST_OK;
}

PGresult *flow_rows(struct flow *f)
{
	if (!f->rows && !take(f))
		return NULL;
	PGresult *rows = f->rows;
	f->rows = NULL;
	return rows;
}

const char *flow_data(struct flow *f, int *size)
{
	if (f->data_taken)
		forget_waiting(f);
	if (!f->data && !take(f))
		return NULL;
	f->data_taken = true;
	*size = f->size;
	return f->data;
}

void flow_wait(struct flow *f)
{
	listen_on(f);
	if (!f->copying || f->kind != FLOW_COPY_IN) {
		if (stream_pending(&f->server->stream))
			receive(f);
	} else {
		server_want_write(f->server, true);
	}
}

void flow_drop(struct flow *f)
{
	f->dropping = true;
	forget_waiting(f);
	take(f);
	for (int i = 0; i < SKIMMED && f->server; i++) {
		if (PQconsumeInput(f->server->conn))
			take(f);
		else
			lose(f);
	}
}

enum status flow_put(struct flow *f, const void *bytes, size_t size)
{
	static const char header[HEADER] = {COPY_DATA};
	if (buffer_size(&f->out) == 0 && buffer_append(&f->out, header, sizeof header) != ST_OK)
		return ST_ENOMEM;
	return buffer_append(&f->out, bytes, size);
}

bool flow_full(const struct flow *f)
{
	return buffer_size(&f->out) >= FLOW_BATCH;
}

bool flow_push(struct flow *f)
{
	if (buffer_size(&f->out) <= HEADER)
		return true;
	uint32_t size = htonl((uint32_t)(buffer_size(&f->out) - 1));
	memcpy(f->out.bytes + f->out.head + 1, &size, sizeof size);
	return !heed(f) || send_batch(f);
}

void flow_put_end(struct flow *f, const char *failure)
{
	buffer_free(&f->out);
	f->copying = false;
	if (f->refused && !failure)
		failure = f->cancelled ? "it was cancelled" : "PostgreSQL had refused the data";
	if (PQputCopyEnd(f->server->conn, failure) < 0)
		lose(f);
	else
		flush(f);
}

void flow_refuse(struct flow *f)
{
	if (!f->copying || f->kind != FLOW_COPY_IN || f->refused)
		return;
	f->refused = true;
	f->cancelled = true;
}

void flow_cancel(struct flow *f)
{
	if (!f->server)
		return;
	PQclear(f->result);
	f->result = NULL;
	stop(f);
}
