/* mirror.c - see mirror.h. */
/* SPDX-License-Identifier: MIT */
#include "router/mirror.h"

#include "cluster/dispatch.h"
#include "router/relay.h"
#include "router/session.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

#define MIRROR_TIMEOUT 60.0 /* s: then its server is closed */

/* seeking (server NULL) --> sending, then reading --> freed */
struct mirror {
	struct list link; /* in worker->mirrors */
	struct worker *worker;
	struct cluster *cluster; /* whose server is sought, or was: see counts_of() */
	struct dispatch dispatch;
	struct server *server;
	struct settings *settings; /* the client's */
	struct buffer copy;        /* what is to be sent */
	ev_timer timer;
	unsigned awaited; /* answers */
	size_t rest;      /* bytes of the current message still to come */
	uint8_t head[WIRE_HEADER +
	             1]; /* of the next one, as far as it has come; 'Z' has one byte more */
	size_t have;
	bool failed;
	bool changed; /* the session's settings were: whether they are, an error leaves open */
	char *user, *database; /* in the same block */
};

static void free_mirror(struct mirror *m)
{
	dispatch_cancel(&m->dispatch);
	ev_timer_stop(m->worker->context.loop, &m->timer);
	list_remove(&m->link);
	m->worker->mirror_count--;
	settings_unref(m->settings);
	buffer_free(&m->copy);
	free(m);
}

static struct mirror_counts *counts_of(const struct mirror *m)
{
	return m->server ? &m->server->endpoint->cluster->mirrored : &m->cluster->mirrored;
}

/* `reusable`: the session is idle, and as its settings say. */
static void finish(struct mirror *m, bool reusable)
{
	struct server *server = m->server;
	if (m->failed || !reusable)
		counts_of(m)->failed++;
	else
		counts_of(m)->done++;
	free_mirror(m);
	server_want_write(server, false);
	pool_release(server, reusable);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	finish(LIST_ENTRY(timer, struct mirror, timer), false);
}

/* False: the server is of no use any more. */
static bool write_more(struct mirror *m)
{
	size_t sent = 0;
	enum status status = ST_OK;
	while (buffer_size(&m->copy) && status == ST_OK) {
		status = stream_write(&m->server->stream, buffer_data(&m->copy),
		                      buffer_size(&m->copy), &sent);
		if (status == ST_OK)
			buffer_consume(&m->copy, sent);
	}
	server_want_write(m->server, buffer_size(&m->copy) > 0);
	return status == ST_OK || status == ST_AGAIN;
}

/* Collects what of a message has to be seen: its header, and of ReadyForQuery the status. */
static size_t take_head(struct mirror *m, const uint8_t *bytes, size_t size)
{
	size_t want = m->have && *m->head == 'Z' ? WIRE_HEADER + 1 : WIRE_HEADER;
	size_t n = size < want - m->have ? size : want - m->have;
	memcpy(m->head + m->have, bytes, n);
	m->have += n;
	return n;
}

/* One whole header is there. False: what comes is no protocol. */
static bool note_head(struct mirror *m)
{
	struct frame f;
	if (*m->head == 'Z' && m->have == WIRE_HEADER)
		return true; /* the status is still to come */
	if (wire_frame(m->head, m->have, &f) != ST_OK)
		return false;
	m->rest = f.size - m->have;
	m->failed |= f.type == 'E' || f.type == 'G';
	if (f.type == 'Z')
		m->awaited--;
	m->have = 0;
	return true;
}

static bool take(struct mirror *m, const uint8_t *bytes, size_t size)
{
	while (size && m->awaited) {
		size_t n = m->rest < size ? m->rest : size;
		m->rest -= n;
		if (n == 0) {
			n = take_head(m, bytes, size);
			if (m->have >= WIRE_HEADER && !note_head(m))
				return false;
		}
		bytes += n;
		size -= n;
	}
	return size == 0;
}

static void read_more(struct mirror *m)
{
	struct worker *w = m->worker;
	size_t got = 0;
	do {
		enum status status = stream_read(&m->server->stream, w->bytes, WORKER_BUFFER, &got);
		if (status == ST_AGAIN)
			return;
		if (status != ST_OK || !take(m, w->bytes, got)) {
			finish(m, false);
			return;
		}
	} while (m->awaited && stream_pending(&m->server->stream));
	if (m->awaited == 0)
		finish(m, m->head[WIRE_HEADER] == 'I' && !(m->failed && m->changed));
}

static void on_event(struct server *server, int events)
{
	struct mirror *m = server->holder;
	if (events & EV_WRITE && !write_more(m))
		finish(m, false);
	else if (events & EV_READ)
		read_more(m);
}

/* The server's session is taken to the client's settings first. */
static enum status put_settings(struct mirror *m)
{
	struct session *session = session_of(m->server, &m->worker->settings);
	struct buffer sql = {0}, batch = m->copy;
	if (!session)
		return ST_ENOMEM;
	session->unnamed = NULL;
	if (session->settings == m->settings)
		return ST_OK;
	enum status status = settings_change(session->settings, m->settings, &sql);
	m->copy = (struct buffer){0};
	if (status == ST_OK)
		status =
		        message_query(&m->copy, (const char *)buffer_data(&sql), buffer_size(&sql));
	if (status == ST_OK)
		status = buffer_append(&m->copy, buffer_data(&batch), buffer_size(&batch));
	buffer_free(&sql);
	buffer_free(&batch);
	if (status != ST_OK)
		return status;
	m->awaited++;
	m->changed = true;
	session_set_settings(session, settings_ref(m->settings));
	return ST_OK;
}

static void on_dispatched(struct dispatch *dispatch, struct server *server, enum status status,
                          const char *sqlstate, const char *reason)
{
	(void)sqlstate;
	(void)reason;
	struct mirror *m = LIST_ENTRY(dispatch, struct mirror, dispatch);
	if (status != ST_OK) {
		counts_of(m)->dropped++;
		free_mirror(m);
		return;
	}
	m->server = server;
	m->awaited = 1;
	server_hold(server, on_event, m);
	ev_timer_set(&m->timer, MIRROR_TIMEOUT, 0);
	ev_timer_start(m->worker->context.loop, &m->timer);
	if (put_settings(m) != ST_OK || !write_more(m))
		finish(m, false);
}

static struct mirror *new_mirror(struct client *c)
{
	size_t user = c->user ? strlen(c->user) + 1 : 0;
	size_t database = c->database ? strlen(c->database) + 1 : 0;
	struct mirror *m = calloc(1, sizeof *m + user + database);
	if (!m)
		return NULL;
	char *strings = (char *)(m + 1);
	m->user = user ? memcpy(strings, c->user, user) : NULL;
	m->database = database ? memcpy(strings + user, c->database, database) : NULL;
	m->worker = c->worker;
	m->cluster = c->home->cluster;
	m->settings = settings_ref(c->settings);
	ev_init(&m->timer, on_time);
	list_push_back(&c->worker->mirrors, &m->link);
	c->worker->mirror_count++;
	return m;
}

/* Whether it is a lone read, and there is room. */
static bool may_copy(const struct client *c, const struct batch *b)
{
	bool alone = c->exchange && c->exchange->status == 'I' && !c->exchange->open && !c->pins;
	return alone && !b->writes && b->intent == INTENT_READ && b->statements == 1 &&
	       !b->uncertain && !b->passing && b->end != BATCH_NO_ANSWER && !c->unread;
}

void mirror_send(struct client *c, struct route *to, const struct batch *b, const uint8_t *bytes)
{
	struct cluster *cluster = c->home->cluster;
	if (!may_copy(c, b))
		return;
	struct mirror *m = c->worker->mirror_count < MIRRORS_MAX ? new_mirror(c) : NULL;
	if (!m || !mirror_copy(c, b, bytes, &m->copy)) {
		cluster->mirrored.dropped++;
		if (m)
			free_mirror(m);
		return;
	}
	const struct dispatch_request request = {.cluster = cluster,
	                                         .route = to,
	                                         .user = m->user,
	                                         .database = m->database,
	                                         .last_write = -INFINITY,
	                                         .copy = true};
	dispatch_start(&m->dispatch, &request, on_dispatched);
}

void mirrors_stop_seeking(struct worker *w)
{
	LIST_EACH (&w->mirrors, link) {
		struct mirror *m = LIST_ENTRY(link, struct mirror, link);
		if (m->server)
			continue;
		counts_of(m)->dropped++;
		free_mirror(m);
	}
}

void mirrors_stop(struct worker *w)
{
	mirrors_stop_seeking(w);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what is freed has left the list */
	LIST_EACH (&w->mirrors, link)
		finish(LIST_ENTRY(link, struct mirror, link), false);
}
