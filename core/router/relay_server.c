/* relay_server.c - the server's side: attaches it, reads its answers, and gives it back.
 *
 * Bytes are forwarded from the worker's buffer in one piece per read. While a lone read may still
 * be run again elsewhere, its response is held back until a row or its end decides. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "router/cancel.h"
#include "router/relay.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_server_event(struct server *server, int events);

void relay_give_back(struct worker *w, struct server *server, bool reusable)
{
	(void)w;
	server_want_write(server, false);
	if (!cancel_keeps(server, reusable))
		pool_release(server, reusable);
}

/* Ends the exchange at a quiet point, then lets the client go on. */
static void detach(struct exchange *x)
{
	struct client *c = x->client;
	struct server *server = x->server;
	bool going = x->surplus;
	exchange_free(x);
	if (going)
		endpoint_suspect(server->endpoint);
	relay_give_back(c->worker, server, !going);
	if (c->state == CLIENT_READY &&
	    (buffer_size(&c->in) || c->eof || !ev_is_active(&c->reader)))
		client_resume(c);
}

bool relay_to_server(struct exchange *x, const uint8_t *bytes, size_t size)
{
	size_t sent = 0;
	enum status status = ST_OK;
	if (buffer_size(&x->to_server) == 0)
		status = stream_write(&x->server->stream, bytes, size, &sent);
	if (status == ST_OK || status == ST_AGAIN) {
		if (sent == size)
			return true;
		status = buffer_append(&x->to_server, bytes + sent, size - sent);
		server_want_write(x->server, true);
		if (status == ST_OK)
			return true;
	}
	/* Its end will be read, perhaps behind a last message that says why. */
	server_want_write(x->server, false);
	return false;
}

static void take_settings(struct server *server, const struct settings *s)
{
	free(server->settings);
	server->settings = s->size ? malloc(s->size) : NULL;
	server->settings_size = server->settings ? s->size : 0;
	if (server->settings)
		memcpy(server->settings, s->block, s->size);
}

bool relay_apply_settings(struct exchange *x, bool always)
{
	struct server *server = x->server;
	const struct settings now = {server->settings, server->settings_size};
	if (!always && settings_same(&now, &x->client->settings))
		return true;
	struct buffer query = {0};
	bool done = settings_change(&now, &x->client->settings, &query) == ST_OK &&
	            relay_to_server(x, buffer_data(&query), buffer_size(&query));
	buffer_free(&query);
	x->swallow++;
	take_settings(server, &x->client->settings);
	return done;
}

void relay_attach(struct exchange *x)
{
	server_hold(x->server, on_server_event, x);
	relay_apply_settings(x, false);
}

static void on_dispatched(struct dispatch *dispatch, struct server *server, enum status status,
                          const char *sqlstate, const char *reason)
{
	struct exchange *x = LIST_ENTRY(dispatch, struct exchange, dispatch);
	struct client *c = x->client;
	if (status == ST_OK) {
		x->server = server;
		x->chosen = true;
		relay_attach(x);
	} else {
		snprintf(x->sqlstate, sizeof x->sqlstate, "%s", sqlstate);
		snprintf(x->message, sizeof x->message, "%s", reason ? reason : "");
	}
	if (x->replaying)
		relay_replay(x);
	else if (!x->choosing_now)
		client_resume(c);
}

void relay_choose(struct exchange *x, struct route *route, struct endpoint *endpoint)
{
	struct client *c = x->client;
	const struct dispatch_request request = {
	        .cluster = c->home->cluster,
	        .route = route,
	        .endpoint = endpoint,
	        .user = c->user,
	        .database = c->database,
	        .last_write = c->last_write,
	        .excluded = x->excluded,
	};
	x->route = route;
	x->choosing_now = true;
	dispatch_start(&x->dispatch, &request, on_dispatched);
	x->choosing_now = false;
}

static void finish_answer(struct exchange *x, char status)
{
	struct client *c = x->client;
	uint8_t flags = x->flags[x->first];
	if (x->outstanding == 0)
		return; /* an answer nobody asked for: the server's affair */
	x->first = (x->first + 1) % RELAY_PIPELINE;
	x->outstanding--;
	x->status = status;
	x->copy_in = false;
	if (flags & BATCH_WRITE)
		c->last_write = clock_now();
}

/* CopyInResponse: the Syncs that were sent ahead of the copy's end are ignored by the server, so
 * they have no answer (55.2.6). */
static void begin_copy_in(struct exchange *x)
{
	x->copy_in = true;
	while (x->outstanding) {
		uint8_t flags = x->flags[x->first];
		if (flags & (BATCH_SIMPLE | BATCH_COPY_END)) {
			x->copy_in = !(flags & BATCH_COPY_END);
			return;
		}
		x->first = (x->first + 1) % RELAY_PIPELINE;
		x->outstanding--;
		x->open = true;
		if (x->outstanding && !(x->flags[x->first] & BATCH_BARE))
			return;
	}
}

static void note_parameter(struct client *c, const uint8_t *body, size_t size)
{
	static const char name[] = "standard_conforming_strings";
	if (size > sizeof name && memcmp(body, name, sizeof name) == 0)
		c->standard_strings = memcmp(body + sizeof name, "off", 3) != 0;
}

/* A response is decided by its first row or its end; until then it may be taken back. */
static bool decides(char type)
{
	return !strchr("12TtnNS3s", type);
}

struct answer_scan {
	const uint8_t *bytes;
	size_t size;
	size_t from; /* first byte not yet forwarded or dropped */
	size_t at;   /* first byte not yet looked at */
};

static bool wants_whole(char type)
{
	return type == 'Z' || type == 'E' || type == 'S';
}

static bool is_fatal(const uint8_t *body, size_t size)
{
	const char *severity = message_error_field(body, size, 'V');
	return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

/* One message for us. False: our settings were refused, and the client has been told. */
static bool swallow(struct exchange *x, const struct frame *f, const uint8_t *at)
{
	if (f->type == 'Z')
		x->swallow--;
	if (f->type != 'E')
		return true;
	const char *message = message_error_field(at + WIRE_HEADER, f->size - WIRE_HEADER, 'M');
	const char *code = message_error_field(at + WIRE_HEADER, f->size - WIRE_HEADER, 'C');
	if (is_fatal(at + WIRE_HEADER, f->size - WIRE_HEADER)) {
		relay_lost(x); /* the server goes, our settings are not to blame */
		return false;
	}
	char text[200], state[6];
	snprintf(text, sizeof text, "%s", message ? message : "a startup setting was refused");
	snprintf(state, sizeof state, "%s", code ? code : "22023");
	x->server->settings_size = 0; /* it holds none of them */
	client_close(x->client, state, text, NULL);
	return false;
}

/* One message for the client. False: nothing of the exchange may be touched any more. */
static bool note_message(struct exchange *x, const struct frame *f, const uint8_t *at)
{
	const uint8_t *body = at + WIRE_HEADER;
	size_t size = f->size - WIRE_HEADER;
	if (!x->decided && decides(f->type)) {
		if (f->type == 'E' && relay_repair(x, body, size))
			return false;
		x->decided = true;
	}
	switch (f->type) {
	case 'Z':
		finish_answer(x, (char)*body);
		break;
	case 'G':
		begin_copy_in(x);
		break;
	case 'E':
		x->copy_in = false;
		x->fatal = is_fatal(body, size);
		break;
	case 'S':
		note_parameter(x->client, body, size);
		break;
	default:
		break;
	}
	return true;
}

static bool forward_range(struct exchange *x, struct answer_scan *s)
{
	size_t size = s->at - s->from;
	const uint8_t *from = s->bytes + s->from;
	s->from = s->at;
	return size == 0 || client_send(x->client, from, size);
}

/* Looks at one message, or at what is there of it. ST_AGAIN: more bytes are needed first.
 * ST_CLOSED: nothing of the exchange may be touched any more. */
static enum status scan_answer(struct exchange *x, struct answer_scan *s)
{
	struct frame f;
	const uint8_t *at = s->bytes + s->at;
	size_t left = s->size - s->at;
	enum status status = wire_frame(at, left, &f);
	if (status == ST_AGAIN)
		return ST_AGAIN;
	if (status != ST_OK || (f.type == 'Z' && f.size != WIRE_HEADER + 1)) {
		relay_lost(x);
		return ST_CLOSED;
	}
	bool ours = x->swallow > 0;
	if (f.size > left && (wants_whole(f.type) || (!ours && !x->decided && !decides(f.type))))
		return ST_AGAIN;
	if (ours ? !swallow(x, &f, at) : !note_message(x, &f, at))
		return ST_CLOSED;
	size_t there = f.size < left ? f.size : left;
	if (ours && !forward_range(x, s))
		return ST_CLOSED;
	s->at += there;
	x->rest = f.size - there;
	x->drop_rest = ours && x->rest;
	if (ours)
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

/* The exchange can end here: nothing is awaited, and nothing ties the client to its server. */
static bool quiet(const struct exchange *x)
{
	return !x->outstanding && !x->swallow && !x->open && !x->passing && x->status == 'I' &&
	       !x->client->pins && !x->rest && !buffer_size(&x->pending);
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
		x->surplus = x->decided && s->at < s->size && !x->rest && quiet(x);
		if (x->surplus)
			s->size = s->at;
	}
	if (!x->decided && !x->swallow && s->size - s->from < RELAY_UNDECIDED) {
		s->at = s->from; /* looked at again when more is there */
		return ST_OK;
	}
	if (!x->swallow)
		x->decided = true;
	return forward_range(x, s) ? ST_OK : ST_CLOSED;
}

/* Bytes from the server, which may have been read behind what was kept of earlier ones. */
static void take_answers(struct exchange *x, const uint8_t *bytes, size_t size)
{
	struct client *c = x->client;
	struct server *server = x->server;
	unsigned awaited = x->outstanding;
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
	if (x->outstanding < awaited && quiet(x))
		detach(x);
	else if (x->outstanding < awaited || x->copy_in)
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

static void on_server_event(struct server *server, int events)
{
	struct exchange *x = server->holder;
	if (events & EV_WRITE)
		write_more(x);
	else if (events & EV_READ)
		read_answers(x);
}

void relay_drained(struct client *c)
{
	struct exchange *x = c->exchange;
	if (x && x->server)
		ev_io_start(c->worker->context.loop, &x->server->reader);
}
