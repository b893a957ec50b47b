/* relay_repair.c - what is done when a server refuses or dies: a lone read of which nothing was
 * forwarded runs again elsewhere; for all else the client is told, and nothing runs twice. */
/* SPDX-License-Identifier: MIT */
#include "router/relay.h"
#include "wire/message.h"

#include <stdio.h>
#include <string.h>

static void refuse_answers(struct exchange *x, const char *sqlstate, const char *message)
{
	struct client *c = x->client;
	enum status status = ST_OK;
	for (unsigned i = 0; i < x->outstanding && status == ST_OK; i++) {
		status = message_error(&c->out, "ERROR", sqlstate, message, NULL);
		if (status == ST_OK)
			status = message_ready(&c->out, 'I');
	}
	exchange_free(x);
	if (status != ST_OK) {
		client_drop(c);
		return;
	}
	if (client_flush(c))
		client_resume(c);
}

void relay_replay(struct exchange *x)
{
	x->replaying = false;
	if (*x->sqlstate) {
		char sqlstate[sizeof x->sqlstate], message[sizeof x->message];
		memcpy(sqlstate, x->sqlstate, sizeof sqlstate);
		memcpy(message, x->message, sizeof message);
		refuse_answers(x, sqlstate, message);
		return;
	}
	x->chosen = false;
	relay_to_server(x, x->replay, x->replay_size);
}

/* Runs the remembered read again, elsewhere. The answer stays outstanding. */
static void run_again(struct exchange *x, struct route *route, bool reusable)
{
	struct server *server = x->server;
	x->excluded |= UINT64_C(1) << server->endpoint->index;
	x->server = NULL;
	x->swallow = 0;
	x->rest = 0;
	x->chosen = false;
	x->replaying = true;
	buffer_free(&x->pending);
	buffer_free(&x->to_server);
	relay_give_back(x->client->worker, server, reusable);
	relay_choose(x, route, NULL);
}

void relay_lost(struct exchange *x)
{
	struct client *c = x->client;
	struct server *server = x->server;
	bool wrote = false;
	endpoint_suspect(server->endpoint);
	if (!x->decided && x->replay_size) {
		run_again(x, x->route ? x->route : c->home->cluster->default_read, false);
		return;
	}
	for (unsigned i = 0; i < x->outstanding; i++)
		wrote |= x->flags[(x->first + i) % RELAY_PIPELINE] & BATCH_WRITE;
	bool in_block = x->status != 'I', torn = x->rest || x->fatal || x->open || x->passing;
	if (in_block || torn || c->pins || !x->outstanding) {
		bool told = x->fatal || x->rest;
		client_close(
		        c, told ? NULL : "08006",
		        "the server connection was lost; what was not committed is rolled back",
		        NULL);
		return;
	}
	x->server = NULL;
	relay_give_back(c->worker, server, false);
	refuse_answers(
	        x, wrote ? "08007" : "08006",
	        wrote ? "the server connection was lost; whether the statement took effect is "
	                "unknown"
	              : "the server connection was lost");
}

enum repair { REPAIR_NONE, REPAIR_PRIMARY, REPAIR_ELSEWHERE };

/* What an error says of a read that could be run again. 25006: it was none; 40001 from a replica:
 * it stood in the way of replay; 57P01..57P03: the server goes. Recovery also refuses as 0A000,
 * 55000 and XX000, with a message that names it. */
static enum repair repair_for(const struct exchange *x, const uint8_t *body, size_t size)
{
	const char *code = message_error_field(body, size, 'C');
	const char *message = message_error_field(body, size, 'M');
	if (!code || x->server->endpoint->role == ROLE_PRIMARY)
		return code && strncmp(code, "57P0", 4) == 0 ? REPAIR_ELSEWHERE : REPAIR_NONE;
	if (strcmp(code, "25006") == 0)
		return REPAIR_PRIMARY;
	if (strcmp(code, "40001") == 0 || strncmp(code, "57P0", 4) == 0)
		return REPAIR_ELSEWHERE;
	bool refusal = strcmp(code, "0A000") == 0 || strcmp(code, "55000") == 0 ||
	               strcmp(code, "XX000") == 0;
	if (refusal && message && (strstr(message, "recovery") || strstr(message, "standby")))
		return REPAIR_PRIMARY;
	return REPAIR_NONE;
}

bool relay_repair(struct exchange *x, const uint8_t *body, size_t size)
{
	struct client *c = x->client;
	switch (repair_for(x, body, size)) {
	case REPAIR_NONE:
		return false;
	case REPAIR_PRIMARY:
		classifier_learn_write(c->worker->classifier,
		                       (const char *)x->replay + x->replay_text,
		                       x->replay_text_size, c->standard_strings);
		log_info(&c->worker->context.log,
		         "a replica refused a statement: run on the primary",
		         LOG_T("endpoint", x->server->endpoint->name));
		x->flags[x->first] |= BATCH_WRITE;
		run_again(x, c->home->cluster->default_write, false);
		return true;
	case REPAIR_ELSEWHERE:
		endpoint_suspect(x->server->endpoint);
		run_again(x, x->route ? x->route : c->home->cluster->default_read, false);
		return true;
	}
	return false;
}

void relay_cancel_wait(struct exchange *x)
{
	dispatch_cancel(&x->dispatch);
	snprintf(x->sqlstate, sizeof x->sqlstate, "57014");
	snprintf(x->message, sizeof x->message, "canceling statement due to user request");
	if (x->replaying)
		relay_replay(x);
	else
		client_resume(x->client);
}
