/* relay_server.c - the server's side: reads its answers.
 *
 * Bytes are forwarded from the worker's buffer in one piece per read. While a batch may still be
 * run again, its response is held back until a row or its end decides. */
/* SPDX-License-Identifier: MIT */
#include "router/asked.h"
#include "router/cancel.h"
#include "router/cutoff.h"
#include "router/errand.h"
#include "router/kinds.h"
#include "router/pins.h"
#include "router/relay.h"
#include "router/report.h"
#include "router/rewrite.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was held back goes out. False: the client is gone. */
static bool release(struct exchange *x)
{
	struct buffer held = x->held;
	x->held = (struct buffer){0};
	bool there = client_send(x->client, buffer_data(&held), buffer_size(&held));
	buffer_free(&held);
	return there;
}

/* For the client: behind what is held back, which stays so as long as the batch may be run again,
 * and else until all that has come was looked at. */
static bool emit(struct exchange *x, const void *bytes, size_t size)
{
	bool holds = buffer_size(&x->held);
	if (x->decided && holds && size >= RELAY_UNDECIDED) {
		if (!release(x))
			return false;
		holds = false;
	}
	if (x->decided && !holds)
		return client_send(x->client, bytes, size);
	if (buffer_append(&x->held, bytes, size) == ST_OK)
		return true;
	client_drop(x->client);
	return false;
}

/* The batch will not be run again. */
static void decide(struct exchange *x)
{
	x->decided = true;
	x->replay = REPLAY_NOT;
}

/* The edit that stands at this point of the answers. */
static struct edit *due(struct exchange *x)
{
	struct edit *e = edits_front(&x->edits);
	return e && e->batch == x->answered && e->after == x->completions ? e : NULL;
}

static bool is_injected(const struct edit *e)
{
	return e && (e->action == EDIT_INJECT_PARSE || e->action == EDIT_INJECT_CLOSE);
}

bool relay_say_due(struct exchange *x)
{
	struct edit *e;
	if (x->errand_count)
		return true; /* later: our own answers come first */
	while (is_injected(e = due(x))) {
		const uint8_t message[WIRE_HEADER] = {e->action == EDIT_INJECT_PARSE ? '1' : '3', 0,
		                                      0, 0, 4};
		edits_pop_front(&x->edits);
		if (!emit(x, message, sizeof message))
			return false;
	}
	return true;
}

static void finish_answer(struct exchange *x, char status)
{
	struct client *c = x->client;
	uint8_t flags = x->flags[x->first];
	if (x->outstanding == 0)
		return; /* an answer nobody asked for: the server's affair */
	measure_answered(x);
	rewrite_undo_batch(x);
	x->first = (x->first + 1) % RELAY_PIPELINE;
	x->outstanding--;
	x->answered++;
	x->completions = 0;
	if (x->status == 'I')
		x->block_since = x->batch_since;
	x->batch_since = x->idle_since = c->worker->tick;
	c->heard = (float)c->worker->tick;
	x->timed_out = x->cancelled = x->errored = false;
	buffer_free(&x->begin); /* what it began is the server's to tell from now on */
	x->status = status;
	x->copy_in = false;
	demands_answered(x, flags);
}

/* What the edits are counted by. To a Query RowDescription is no answer of its own, as it is to
 * Describe. */
static bool completes(const struct exchange *x, char type)
{
	if (type == 'T' && x->outstanding && x->flags[x->first] & BATCH_SIMPLE)
		return false;
	return kind_of(type) & KIND_COMPLETION;
}

struct answer_scan {
	const uint8_t *bytes;
	size_t size;
	size_t from; /* first byte not yet forwarded or dropped */
	size_t at;   /* first byte not yet looked at */
};

static bool is_fatal(const uint8_t *body, size_t size)
{
	const char *severity = message_error_field(body, size, 'V');
	return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

static bool forward_range(struct exchange *x, struct answer_scan *s)
{
	size_t size = s->at - s->from;
	const uint8_t *from = s->bytes + s->from;
	s->from = s->at;
	return size == 0 || emit(x, from, size);
}

/* What becomes of one message. */
enum fate {
	FATE_PASS, /* it is the client's */
	FATE_DROP,
	FATE_GONE, /* nothing of the exchange may be touched any more */
};

/* The server goes, behind the whole answer to a lone read: only ReadyForQuery is missing. */
static bool is_answered(const struct exchange *x)
{
	uint8_t flags = x->flags[x->first];
	return x->fatal && x->decided && x->outstanding == 1 && !x->open && x->expected &&
	       x->completions == x->expected && x->status == 'I' && !x->client->pins &&
	       !(flags & (BATCH_WRITE | BATCH_UNCERTAIN));
}

static enum fate end_answer(struct exchange *x, struct answer_scan *s)
{
	static const uint8_t ready[] = {'Z', 0, 0, 0, 5, 'I'};
	if (!forward_range(x, s) || !emit(x, ready, sizeof ready))
		return FATE_GONE;
	finish_answer(x, 'I');
	x->ended = true;
	return FATE_DROP;
}

static enum fate take_error(struct exchange *x, struct answer_scan *s, const uint8_t *body,
                            size_t size)
{
	struct edit *e = due(x);
	enum fate fate = FATE_PASS;
	x->copy_in = false;
	x->fatal = is_fatal(body, size);
	if (is_answered(x))
		return end_answer(x, s);
	measure_error(x);
	if (x->touching == x->answered + 1) /* its settings are what they were */
		x->touched.tail = x->touched.head + x->touched_before;
	struct buffer instead = {0};
	bool stays = x->fatal && cutoff_may_stay(x);
	enum status status = stays ? cutoff_take_fatal(x, body, size, &instead)
	                           : report_error(x, e, body, size, &instead);
	if (status != ST_OK) {
		client_drop(x->client);
		return FATE_GONE;
	}
	if (!stays && buffer_size(&instead)) /* the client's error, not our stand-in's */
		asked_refused(x, buffer_data(&instead) + WIRE_HEADER,
		              buffer_size(&instead) - WIRE_HEADER);
	else
		asked_refused(x, body, size);
	x->errored |= !stays && x->outstanding;
	x->failed_open = x->open && x->outstanding == 0;
	if (stays || buffer_size(&instead)) {
		bool there = forward_range(x, s) &&
		             emit(x, buffer_data(&instead), buffer_size(&instead));
		buffer_free(&instead);
		fate = there ? FATE_DROP : FATE_GONE;
	}
	if (fate != FATE_GONE)
		rewrite_undo_batch(x);
	return fate;
}

static enum fate take_parameter(struct exchange *x, struct answer_scan *s, const uint8_t *body,
                                size_t size)
{
	const uint8_t *instead = NULL;
	if (report_parameter(x, body, size, &instead, &size) != ST_OK) {
		client_drop(x->client);
		return FATE_GONE;
	}
	if (!instead)
		return FATE_PASS;
	return forward_range(x, s) && emit(x, instead, size) ? FATE_DROP : FATE_GONE;
}

/* A completion: the client's, or ours where an edit says so. */
static enum fate take_completion(struct exchange *x, struct answer_scan *s, char type)
{
	struct edit *e = due(x);
	bool ours = e && e->action == EDIT_SWALLOW && strchr("123", type);
	if (ours || (e && e->action == EDIT_CONFIRM))
		edits_pop_front(&x->edits);
	if (ours)
		return forward_range(x, s) ? FATE_DROP : FATE_GONE;
	x->completions++;
	return FATE_PASS;
}

/* One message to a client's batch. */
static enum fate note_message(struct exchange *x, struct answer_scan *s, const struct frame *f)
{
	const uint8_t *body = s->bytes + s->at + WIRE_HEADER;
	size_t size = f->size - WIRE_HEADER;
	if (is_injected(due(x)) && (!forward_range(x, s) || !relay_say_due(x)))
		return FATE_GONE;
	if (!x->decided && kind_decides(f->type)) {
		switch (f->type == 'E' ? relay_repair(x, body, size) : REPAIRED_NOT) {
		case REPAIRED_HERE:
			s->from = s->at;
			return FATE_DROP;
		case REPAIRED_ELSEWHERE:
			return FATE_GONE;
		case REPAIRED_NOT:
			break;
		}
		decide(x);
	}
	switch (f->type) {
	case 'Z':
		finish_answer(x, (char)*body);
		if (!errand_must_restore(x))
			return FATE_PASS;
		x->owed = (char)*body;
		return forward_range(x, s) ? FATE_DROP : FATE_GONE;
	case 'G':
		exchange_begin_copy_in(x);
		return FATE_PASS;
	case 'E':
		return take_error(x, s, body, size);
	case 'S':
		return take_parameter(x, s, body, size);
	case 'C':
		if (strchr("DRS", *body))
			report_command(x, body, size);
		measure_rows(x, body, size);
		return take_completion(x, s, 'C');
	default:
		return completes(x, f->type) ? take_completion(x, s, f->type) : FATE_PASS;
	}
}

/* One message to a query of ours. */
static enum fate note_errand(struct exchange *x, struct answer_scan *s, const struct frame *f)
{
	if (!forward_range(x, s))
		return FATE_GONE;
	if (errand_shows(x, f->type))
		return FATE_PASS;
	return errand_answer(x, f, s->bytes + s->at + WIRE_HEADER) ? FATE_DROP : FATE_GONE;
}

/* Rows are most of what comes, and nothing about them is to be noted. */
static bool is_plain_row(const struct exchange *x, char type)
{
	return (type == 'D' || type == 'd') && x->decided && !x->errand_count;
}

/* Looks at one message, or at what is there of it. ST_AGAIN: more bytes are needed first.
 * ST_CLOSED: nothing of the exchange may be touched any more. */
static enum status scan_answer(struct exchange *x, struct answer_scan *s)
{
	struct frame f;
	size_t left = s->size - s->at;
	enum status status = wire_frame(s->bytes + s->at, left, &f);
	if (status == ST_AGAIN)
		return ST_AGAIN;
	if (status != ST_OK || (f.type == 'Z' && f.size != WIRE_HEADER + 1)) {
		if (forward_range(x, s))
			relay_lost(x);
		return ST_CLOSED;
	}
	size_t there = f.size < left ? f.size : left;
	enum fate fate = FATE_PASS;
	if (!is_plain_row(x, f.type)) {
		bool ours = x->errand_count > 0;
		if (f.size > left && (ours || kind_is_whole(f.type)))
			return ST_AGAIN;
		fate = ours ? note_errand(x, s, &f) : note_message(x, s, &f);
		if (fate == FATE_GONE)
			return ST_CLOSED;
	}
	s->at += there;
	x->rest = f.size - there;
	x->drop_rest = fate == FATE_DROP && x->rest;
	if (fate == FATE_DROP)
		s->from = s->at;
	return ST_OK;
}

static void pass_rest(struct exchange *x, struct answer_scan *s)
{
	size_t left = s->size - s->at, n = left < x->rest ? left : x->rest;
	s->at += n;
	x->rest -= n;
	if (x->drop_rest)
		s->from = s->at;
	x->drop_rest = x->drop_rest && x->rest;
}

/* What keeps the client on this server. A replica holds nothing temporary, and is not where an
 * encoding that cannot be read is kept. */
static unsigned pins_here(const struct exchange *x)
{
	bool replica = x->server->endpoint->role == ROLE_REPLICA;
	return x->client->pins & ~(replica ? PIN_TEMP | RELAY_PIN_ENCODING : 0u);
}

/* The exchange can end here: nothing is awaited, and nothing ties the client to its server. */
static bool quiet(const struct exchange *x)
{
	return !x->outstanding && !x->errand_count && !x->open && !x->passing && x->status == 'I' &&
	       !pins_here(x) && !x->rest && !buffer_size(&x->pending);
}

static bool owes_nothing(const struct exchange *x)
{
	return !x->discarded && !errand_is_due(x);
}

/* ST_OK: all that could be was forwarded; what is left is to be kept. */
static enum status scan_answers(struct exchange *x, struct answer_scan *s)
{
	while (s->at < s->size) {
		if (x->rest) {
			pass_rest(x, s);
			continue;
		}
		enum status status = scan_answer(x, s);
		if (status == ST_CLOSED)
			return ST_CLOSED;
		if (status == ST_AGAIN)
			break;
		/* What follows the last answer is the server's farewell, and not the client's. */
		x->surplus =
		        x->decided && s->at < s->size && !x->rest && quiet(x) && owes_nothing(x);
		if (x->surplus)
			s->size = s->at;
	}
	if (!forward_range(x, s) || !relay_say_due(x))
		return ST_CLOSED;
	if (buffer_size(&x->held) >= RELAY_UNDECIDED)
		decide(x);
	if (x->decided && buffer_size(&x->held))
		return release(x) ? ST_OK : ST_CLOSED;
	return ST_OK;
}

bool relay_settle(struct exchange *x)
{
	struct client *c = x->client;
	enum status status = ST_OK;
	if (x->outstanding || x->errand_count || x->open)
		return false;
	bool owes = x->discarded || !owes_nothing(x);
	if (owes && x->server->cancel)
		return false; /* it might hit our own query: relay_cancel_done() comes back */
	if (x->discarded)
		status = errand_renew(x);
	else if (owes)
		status = errand_after_batch(x);
	if (status != ST_OK) {
		client_close(c, "53200", "out of memory", NULL);
		return true; /* or the client is gone already */
	}
	if (c->config->mode == POOL_STATEMENT && x->status != 'I') {
		client_close(c, "0A000",
		             "transaction blocks are not allowed in pool mode \"statement\"", NULL);
		return true;
	}
	if (!x->errand_count)
		pins_tell(c);
	if (!quiet(x))
		return false;
	relay_detach(x);
	return true;
}

/* Bytes from the server, which may have been read behind what was kept of earlier ones. */
static void take_answers(struct exchange *x, const uint8_t *bytes, size_t size)
{
	struct client *c = x->client;
	struct server *server = x->server;
	unsigned awaited = x->outstanding, errands = x->errand_count;
	struct buffer kept = x->pending;
	x->pending = (struct buffer){0};
	struct answer_scan s = {.bytes = bytes, .size = size};
	if (buffer_size(&kept)) {
		if (buffer_append(&kept, bytes, size) != ST_OK) {
			buffer_free(&kept);
			client_drop(c);
			return;
		}
		s.bytes = buffer_data(&kept);
		s.size = buffer_size(&kept);
	}
	enum status status = scan_answers(x, &s);
	if (status == ST_OK && buffer_append(&x->pending, s.bytes + s.at, s.size - s.at) != ST_OK)
		client_drop(c);
	buffer_free(&kept);
	if (status != ST_OK || c->state >= CLIENT_CLOSING || c->exchange != x ||
	    x->server != server)
		return;
	if (buffer_size(&c->out))
		ev_io_stop(c->worker->context.loop, &server->reader); /* until relay_drained() */
	bool answered = x->outstanding < awaited || x->errand_count < errands;
	if (answered && relay_settle(x))
		return;
	if (answered || x->copy_in || x->flushed)
		client_resume(c);
}

static void read_answers(struct exchange *x)
{
	struct server *server = x->server;
	struct client *c = x->client;
	size_t got = 0;
	enum status status = stream_read(&server->stream, c->worker->bytes, WORKER_BUFFER, &got);
	if (status == ST_AGAIN)
		return;
	if (status != ST_OK) {
		relay_lost(x);
		return;
	}
	take_answers(x, c->worker->bytes, got);
	/* What TLS has decrypted already, the socket will not tell of. */
	if (c->exchange == x && x->server == server && stream_pending(&server->stream))
		ev_feed_fd_event(c->worker->context.loop, server->stream.fd, EV_READ);
}

static void write_more(struct exchange *x)
{
	size_t sent = 0;
	enum status status = stream_write(&x->server->stream, buffer_data(&x->to_server),
	                                  buffer_size(&x->to_server), &sent);
	if (status == ST_AGAIN)
		return;
	if (status != ST_OK) {
		server_want_write(x->server, false);
		return;
	}
	buffer_consume(&x->to_server, sent);
	if (buffer_size(&x->to_server))
		return;
	server_want_write(x->server, false);
	client_resume(x->client);
}

void relay_on_server_event(struct server *server, int events)
{
	struct exchange *x = server->holder;
	if (events & EV_WRITE)
		write_more(x);
	else if (events & EV_READ)
		read_answers(x);
}

void relay_cancel_done(struct server *server)
{
	if (server->on_event != relay_on_server_event)
		return; /* no client's any more */
	struct exchange *x = server->holder;
	if (!relay_settle(x))
		client_resume(x->client);
}

void relay_drained(struct client *c)
{
	struct exchange *x = c->exchange;
	if (x && x->server)
		ev_io_start(c->worker->context.loop, &x->server->reader);
}
