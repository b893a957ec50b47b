/* attach.c - how an exchange comes by a server, writes to it, and gives it back. */
/* SPDX-License-Identifier: MIT */
#include "router/cancel.h"
#include "router/errand.h"
#include "router/relay.h"
#include "router/wash.h"
#include "router/welcome.h"
#include "wire/message.h"

#include <stdio.h>

void relay_give_back(struct worker *w, struct server *server, bool reusable)
{
	(void)w;
	server_want_write(server, false);
	if (!cancel_keeps(server, reusable))
		pool_release(server, reusable);
}

/* Ends the exchange at a quiet point, then lets the client go on. */
void relay_detach(struct exchange *x)
{
	struct client *c = x->client;
	struct server *server = x->server;
	bool going = x->surplus, soiled = x->soiled;
	exchange_free(x);
	if (going)
		endpoint_suspect(server->endpoint);
	if (soiled && !going)
		wash_server(c->worker, server, 0);
	else
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

void relay_attach(struct exchange *x)
{
	struct client *c = x->client;
	enum status status = ST_ENOMEM;
	if (!x->server->session)
		welcome_compare(c, x->server);
	server_hold(x->server, relay_on_server_event, x);
	x->session = session_of(x->server, &c->worker->settings);
	if (x->session) {
		x->session->unnamed = NULL;
		status = errand_apply_settings(x);
	}
	last_route_sent(c, x->server->endpoint, false);
	if (status == ST_OK && c->block.state == BLOCK_LAZY) {
		x->block_effects = c->block.effects;
		block_hand_over(c, &x->begin);
	}
	if (status == ST_OK && buffer_size(&x->begin))
		status = errand_begin(x);
	if (status != ST_OK)
		client_close(c, "53200", "out of memory", NULL);
}

static void on_dispatched(struct dispatch *dispatch, struct server *server, enum status status,
                          const char *sqlstate, const char *reason)
{
	struct exchange *x = LIST_ENTRY(dispatch, struct exchange, dispatch);
	struct client *c = x->client;
	if (status == ST_OK && dispatch->held && client_has_left(c)) {
		client_drop(c);
		relay_give_back(c->worker, server, true);
		return;
	}
	if (status == ST_OK) {
		x->server = server;
		x->chosen = true;
		relay_attach(x);
		if (c->exchange != x)
			return;
	} else {
		snprintf(x->sqlstate, sizeof x->sqlstate, "%s", sqlstate);
		snprintf(x->message, sizeof x->message, "%s", reason ? reason : "");
		x->hint = dispatch->hint;
	}
	if (x->replaying)
		relay_replay(x);
	else if (!x->choosing_now)
		client_resume(c);
}

/* The dispatch goes on: the client's end would end it, so only words that are lost are risked. */
static void on_wait(struct dispatch *dispatch)
{
	struct exchange *x = LIST_ENTRY(dispatch, struct exchange, dispatch);
	struct client *c = x->client;
	x->told = true;
	if (c->state == CLIENT_READY &&
	    message_notice(&c->out, "waiting for a server connection") == ST_OK)
		client_flush(c);
}

void relay_choose(struct exchange *x, struct route *route, struct endpoint *endpoint, size_t bytes)
{
	struct client *c = x->client;
	const struct dispatch_request request = {
	        .cluster = c->home->cluster,
	        .route = route,
	        .endpoint = endpoint,
	        .user = c->user,
	        .database = c->database,
	        .last_write = x->last_write,
	        .need = &x->need,
	        .excluded = x->excluded,
	        .bytes = bytes,
	        .since = x->since,
	        .on_wait = x->told ? NULL : on_wait,
	};
	x->since = 0;
	x->route = route;
	x->choosing_now = true;
	dispatch_start(&x->dispatch, &request, on_dispatched);
	if (c->exchange == x)
		x->choosing_now = false;
}

bool relay_stop_seeking(struct exchange *x)
{
	if (!x->dispatch.cluster)
		return false;
	x->since = x->dispatch.waiter.since;
	dispatch_cancel(&x->dispatch);
	return true;
}

/* What is run again is a read, or has been found to be a write. */
static void choose_for_replay(struct exchange *x)
{
	const struct cluster *cluster = x->client->home->cluster;
	bool writes = x->flags[x->first] & BATCH_WRITE;
	relay_choose(x, writes ? cluster->default_write : cluster->default_read, NULL,
	             x->replay_batch.size);
}

void relay_seek_again(struct exchange *x)
{
	struct client *c = x->client;
	if (c->state == CLIENT_WELCOMING)
		welcome_again(x);
	else if (x->replaying)
		choose_for_replay(x);
	else
		client_resume(c); /* its batch waits in c->in, and is judged anew */
}
