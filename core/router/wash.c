/* wash.c - see wash.h. */
/* SPDX-License-Identifier: MIT */
#include "router/wash.h"

#include "router/relay.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <string.h>

/* The answers are short: ParameterStatus messages, notices, a row, CommandComplete, ReadyForQuery.
 * What has come is kept and looked at from its beginning each time. */
static void on_washed(struct server *server, int events)
{
	struct worker *w = server->holder;
	struct session *session = server->session;
	size_t got = 0;
	if (!(events & EV_READ))
		return;
	enum status status = stream_read(&server->stream, w->bytes, WORKER_BUFFER, &got);
	if (status == ST_AGAIN)
		return;
	if (status == ST_OK)
		status = buffer_append(&session->answer, w->bytes, got);
	const uint8_t *at = buffer_data(&session->answer);
	const uint8_t *end = at + buffer_size(&session->answer);
	bool failed = status != ST_OK, done = failed;
	unsigned answered = 0;
	struct frame f;
	for (; !done && wire_frame(at, (size_t)(end - at), &f) == ST_OK &&
	       f.size <= (size_t)(end - at);
	     at += f.size) {
		failed |= f.type == 'E';
		done = f.type == 'Z' && ++answered == session->awaited;
	}
	if (!done)
		return;
	buffer_free(&session->answer);
	list_remove(&session->washing);
	relay_give_back(w, server, !failed);
}

void wash_server(struct worker *w, struct server *server, unsigned errands)
{
	struct session *session = session_of(server, &w->settings);
	struct settings *empty = settings_empty(&w->settings);
	struct buffer query = {0};
	size_t sent = 0;
	enum status status = session && empty ? ST_OK : ST_ENOMEM;
	if (status == ST_OK)
		status = message_query(&query, "DISCARD ALL", strlen("DISCARD ALL"));
	if (status == ST_OK)
		status = stream_write(&server->stream, buffer_data(&query), buffer_size(&query),
		                      &sent);
	bool all = status == ST_OK && sent == buffer_size(&query);
	buffer_free(&query);
	if (!all) {
		settings_unref(empty);
		relay_give_back(w, server, false);
		return;
	}
	session->awaited = errands + 1;
	session_forget_statements(session);
	session_set_settings(session, empty);
	list_push_back(&w->washing, &session->washing);
	server_hold(server, on_washed, w);
}

void wash_stop(struct worker *w)
{
	LIST_EACH (&w->washing, link) {
		struct session *session = LIST_ENTRY(link, struct session, washing);
		list_remove(link);
		relay_give_back(w, session->server, false);
	}
}
