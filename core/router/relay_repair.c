/* relay_repair.c - what is done when a server refuses or dies: a lone read of which nothing was
 * forwarded runs again elsewhere; for all else the client is told, and nothing runs twice. */
/* SPDX-License-Identifier: MIT */
#include "router/cutoff.h"
#include "router/errand.h"
#include "router/relay.h"
#include "router/rewrite.h"
#include "wire/message.h"

#include <stdio.h>
#include <string.h>

static void refuse_answers(struct exchange *x, const char *sqlstate, const char *message)
{
	struct client *c = x->client;
	enum status status = ST_OK;
	if (buffer_size(&x->begin))
		block_fail(c);
	rewrite_undo_all(x);
	for (unsigned i = 0; i < x->outstanding && status == ST_OK; i++) {
		status = message_error(&c->out, "ERROR", sqlstate, message, NULL);
		if (status == ST_OK)
			status = message_ready(&c->out, block_status(c));
	}
	exchange_free(x);
	if (status != ST_OK) {
		client_drop(c);
		return;
	}
	if (client_flush(c))
		client_resume(c);
}

/* Sends the remembered batch again, to the server that is attached. Its answer stays outstanding.
 */
static enum status send_again(struct exchange *x)
{
	x->sending = x->answered;
	x->sent = x->completions = 0;
	enum status status = relay_send_batch(x, &x->replay_batch, x->replay_bytes);
	x->sent = 0;
	return status;
}

void relay_replay(struct exchange *x)
{
	struct client *c = x->client;
	x->replaying = false;
	if (*x->sqlstate) {
		char sqlstate[sizeof x->sqlstate], message[sizeof x->message];
		memcpy(sqlstate, x->sqlstate, sizeof sqlstate);
		memcpy(message, x->message, sizeof message);
		refuse_answers(x, sqlstate, message);
		return;
	}
	x->chosen = false;
	if (send_again(x) != ST_OK)
		client_close(c, "53200", "out of memory", NULL);
	else
		relay_say_due(x);
}

/* Runs the remembered read again, elsewhere. */
static void run_elsewhere(struct exchange *x, struct route *route, bool reusable)
{
	struct server *server = x->server;
	rewrite_undo_all(x);
	if (server->endpoint->cluster == x->client->home->cluster)
		x->excluded |= UINT64_C(1) << server->endpoint->index;
	x->server = NULL;
	x->session = NULL;
	x->errand_count = 0;
	x->asking = false;
	x->rest = 0;
	x->status = 'I';
	x->chosen = false;
	x->replaying = true;
	buffer_free(&x->held);
	buffer_free(&x->pending);
	buffer_free(&x->to_server);
	relay_give_back(x->client->worker, server, reusable);
	relay_choose(x, route, NULL);
}

/* The plan that the server kept is out of date: it is made anew. */
static bool run_here(struct exchange *x)
{
	struct prepared *stale = x->named ? session_find(x->session, x->named) : NULL;
	if (!stale)
		return false;
	rewrite_undo_all(x);
	stale = session_find(x->session, x->named); /* not if it was this batch that made it */
	if (stale)
		session_remove(x->session, stale);
	buffer_free(&x->held);
	if (errand_skip(x) == ST_OK && send_again(x) == ST_OK)
		return true;
	return false;
}

void relay_lost(struct exchange *x)
{
	struct client *c = x->client;
	endpoint_suspect(x->server->endpoint);
	if (!x->decided && x->replay == REPLAY_ANYWHERE && c->home) {
		run_elsewhere(x, x->route ? x->route : c->home->cluster->default_read, false);
	} else if (cutoff_may_stay(x)) {
		cutoff_go_on(x);
	} else {
		bool told = (x->fatal && !*x->farewell) || (x->rest && !x->drop_rest);
		client_close(
		        c, told ? NULL : "08006",
		        "the server connection was lost; what was not committed is rolled back",
		        NULL);
	}
}

enum repair { REPAIR_NONE, REPAIR_PLAN, REPAIR_PRIMARY, REPAIR_ELSEWHERE };

/* What an error says of a read that could be run again. 25006: it was none; 40001 from a replica:
 * it stood in the way of replay; 57P01..57P03: the server goes. Recovery also refuses as 0A000,
 * 55000 and XX000, with a message that names it. */
static enum repair repair_of_read(const struct exchange *x, const char *code, const char *message)
{
	if (x->server->endpoint->role == ROLE_PRIMARY)
		return strncmp(code, "57P0", 4) == 0 ? REPAIR_ELSEWHERE : REPAIR_NONE;
	if (strcmp(code, "25006") == 0)
		return buffer_size(&x->begin) ? REPAIR_NONE : REPAIR_PRIMARY;
	if (strcmp(code, "40001") == 0 || strncmp(code, "57P0", 4) == 0)
		return REPAIR_ELSEWHERE;
	bool refusal = strcmp(code, "0A000") == 0 || strcmp(code, "55000") == 0 ||
	               strcmp(code, "XX000") == 0;
	if (refusal && (strstr(message, "recovery") || strstr(message, "standby")))
		return REPAIR_PRIMARY;
	return REPAIR_NONE;
}

static enum repair repair_for(const struct exchange *x, const uint8_t *body, size_t size)
{
	const char *code = message_error_field(body, size, 'C');
	const char *message = message_error_field(body, size, 'M');
	const char *routine = message_error_field(body, size, 'R');
	if (!code || !message)
		return REPAIR_NONE;
	/* "cached plan must not change result type", in whatever language. */
	if (strcmp(code, "0A000") == 0 && routine && strcmp(routine, "RevalidateCachedQuery") == 0)
		return x->status == 'I' ? REPAIR_PLAN : REPAIR_NONE;
	return x->replay == REPLAY_ANYWHERE ? repair_of_read(x, code, message) : REPAIR_NONE;
}

static void learn(struct exchange *x)
{
	struct client *c = x->client;
	const struct batch *b = &x->replay_batch;
	if (b->sql)
		classifier_learn_write(c->worker->classifier, client_catalog(c), b->sql,
		                       b->sql_size, c->standard_strings);
	catalogs_taught(c->catalog);
	log_info(&c->worker->context.log, "a replica refused a statement: run on the primary",
	         LOG_T("endpoint", x->server->endpoint->name));
	x->flags[x->first] |= BATCH_WRITE;
}

enum repaired relay_repair(struct exchange *x, const uint8_t *body, size_t size)
{
	struct client *c = x->client;
	enum repair repair = repair_for(x, body, size);
	if (!c->home && repair != REPAIR_PLAN)
		return REPAIRED_NOT;
	switch (repair) {
	case REPAIR_NONE:
		return REPAIRED_NOT;
	case REPAIR_PLAN:
		return run_here(x) ? REPAIRED_HERE : REPAIRED_NOT;
	case REPAIR_PRIMARY:
		learn(x);
		run_elsewhere(x, c->home->cluster->default_write, false);
		return REPAIRED_ELSEWHERE;
	case REPAIR_ELSEWHERE:
		endpoint_suspect(x->server->endpoint);
		run_elsewhere(x, x->route ? x->route : c->home->cluster->default_read, false);
		return REPAIRED_ELSEWHERE;
	}
	return REPAIRED_NOT;
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
