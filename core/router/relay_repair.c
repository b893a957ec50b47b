/* relay_repair.c - what is done when a server refuses or dies: a lone read of which nothing was
 * forwarded runs again elsewhere; for all else the client is told, and nothing runs twice. */
/* SPDX-License-Identifier: MIT */
#include "router/asked.h"
#include "router/cutoff.h"
#include "router/errand.h"
#include "router/relay.h"
#include "router/rewrite.h"
#include "wire/message.h"

#include <stdio.h>
#include <string.h>

void relay_tally(const struct exchange *x, enum counter counter)
{
	if (x->client->home)
		x->client->home->cluster->counters.values[counter]++;
}

static const uint8_t *replay_bytes(const struct exchange *x)
{
	return buffer_size(&x->replay_long) ? buffer_data(&x->replay_long) : x->replay_bytes;
}

/* Whether it stands alone, and can be run again as it is. */
static enum replay replay_of(const struct exchange *x, const struct batch *b)
{
	bool begun = buffer_size(&x->begin) && x->pushed == 0;
	bool alone = !b->uncertain && !b->passing && b->end != BATCH_NO_ANSWER && !x->open &&
	             (x->status == 'I' || begun) && x->outstanding == 0 && b->size <= RELAY_REPLAY;
	if (!alone)
		return REPLAY_NOT;
	if (b->statements == 1 && b->intent == INTENT_READ && !b->pins && !x->client->pins)
		return REPLAY_ANYWHERE;
	return b->names && x->status == 'I' ? REPLAY_HERE : REPLAY_NOT;
}

/* False: out of memory; it is just not run again, then. */
static bool keep_bytes(struct exchange *x, const uint8_t *bytes, size_t size)
{
	if (size > sizeof x->replay_bytes)
		return buffer_append(&x->replay_long, bytes, size) == ST_OK;
	memcpy(x->replay_bytes, bytes, size);
	return true;
}

void relay_forget_replay(struct exchange *x)
{
	statement_unref(x->replay_statement);
	x->replay_statement = NULL;
	x->named = NULL;
	if (buffer_size(&x->replay_long))
		buffer_free(&x->replay_long);
	x->replay = REPLAY_NOT;
	x->decided = true;
}

void relay_note_replay(struct exchange *x, const struct batch *b, const uint8_t *bytes)
{
	relay_forget_replay(x);
	x->replay = replay_of(x, b);
	if (x->replay != REPLAY_NOT && !keep_bytes(x, bytes, b->size))
		x->replay = REPLAY_NOT;
	x->decided = x->replay == REPLAY_NOT;
	if (x->decided)
		return;
	x->replay_batch = *b;
	if (b->statement)
		x->replay_statement = statement_ref(b->statement);
	else if (b->sql)
		x->replay_batch.sql =
		        (const char *)replay_bytes(x) + ((const uint8_t *)b->sql - bytes);
}

static void refuse_answers(struct exchange *x, const char *sqlstate, const char *message)
{
	struct client *c = x->client;
	enum status status = ST_OK;
	if (buffer_size(&x->begin))
		block_fail(c);
	asked_failed(x, sqlstate, message);
	rewrite_undo_all(x);
	measure_again(x); /* it has waited for a server in vain: that is not its time */
	measure_lost(x);
	for (unsigned i = 0; i < x->outstanding && status == ST_OK; i++) {
		status = message_error(&c->out, "ERROR", sqlstate, message, x->hint);
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
	measure_again(x);
	x->sending = x->answered;
	x->sent = x->completions = 0;
	enum status status = relay_send_batch(x, &x->replay_batch, replay_bytes(x));
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
	relay_choose(x, route, NULL, x->replay_batch.size);
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

/* What is the client's for good goes to it first. False: it is gone. */
static bool pass_held(struct exchange *x)
{
	struct buffer held = x->held;
	if (!x->decided || !buffer_size(&held))
		return true;
	x->held = (struct buffer){0};
	bool there = client_send(x->client, buffer_data(&held), buffer_size(&held));
	buffer_free(&held);
	return there;
}

void relay_lost(struct exchange *x)
{
	struct client *c = x->client;
	endpoint_lost(x->server->endpoint);
	if (!pass_held(x))
		return;
	if (!x->decided && x->replay == REPLAY_ANYWHERE && c->home) {
		relay_tally(x, COUNTER_REPAIRED_LOST);
		run_elsewhere(x, x->route ? x->route : c->home->cluster->default_read, false);
		return;
	}
	if (!x->fatal)
		asked_failed(x, "08006", "the server connection was lost");
	measure_lost(x);
	if (cutoff_may_stay(x)) {
		cutoff_go_on(x);
	} else {
		bool told = (x->fatal && !*x->farewell) || (x->rest && !x->drop_rest);
		bool kept = c->pins & ~(unsigned)RELAY_PIN_SESSION;
		client_close(
		        c, told ? NULL : "08006",
		        "the server connection was lost; what was not committed is rolled back",
		        kept ? "What this session kept on its server (LISTEN, temporary tables, "
		               "locks ...) is lost, too."
		             : NULL);
	}
}

enum repair { REPAIR_NONE, REPAIR_PLAN, REPAIR_PRIMARY, REPAIR_ELSEWHERE };

/* What an error says, in whatever language its message is. */
struct complaint {
	const char *code, *message, *file, *routine;
};

static bool is(const char *text, const char *other)
{
	return text && strcmp(text, other) == 0;
}

/* Recovery refuses as 0A000, 55000 and XX000, too. What it says as XX000 is never translated; else
 * the place in PostgreSQL's sources tells, where the message is not English. */
static bool names_recovery(const struct complaint *e)
{
	static const char *const routines[] = {
	        "LockAcquireExtended",                /* of a lock that changes something */
	        "GetSerializableTransactionSnapshot", /* there is no SSI on a standby */
	        "get_relation_info",                  /* unlogged and temporary relations */
	        "CheckLogicalDecodingRequirements",   /* logical replication slots */
	        "brin_summarize_range",
	        "brin_desummarize_range",
	        "gin_clean_pending_list",
	};
	if (!is(e->code, "0A000") && !is(e->code, "55000") && !is(e->code, "XX000"))
		return false;
	if (strstr(e->message, "recovery") || strstr(e->message, "standby"))
		return true;
	if (is(e->code, "XX000"))
		return false;
	for (size_t i = 0; i < sizeof routines / sizeof *routines; i++)
		if (is(e->routine, routines[i]))
			return true;
	return is(e->file, "xlogfuncs.c");
}

/* What it says of a read that could be run again. 25006: it was none; 40001 and 40P01 from a
 * replica: it stood in the way of replay; 57P0x: the server goes. */
static enum repair repair_of_read(const struct exchange *x, const struct complaint *e,
                                  enum counter *counter)
{
	bool replica = x->server->endpoint->role != ROLE_PRIMARY;
	*counter = COUNTER_REPAIRED_LOST;
	if (strncmp(e->code, "57P0", 4) == 0)
		return REPAIR_ELSEWHERE;
	*counter = COUNTER_REPAIRED_CONFLICT;
	if (replica && (is(e->code, "40001") || is(e->code, "40P01")))
		return REPAIR_ELSEWHERE;
	*counter = COUNTER_REPAIRED_READ_ONLY;
	if (replica && is(e->code, "25006"))
		return buffer_size(&x->begin) ? REPAIR_NONE : REPAIR_PRIMARY;
	*counter = COUNTER_REPAIRED_RECOVERY;
	return replica && names_recovery(e) ? REPAIR_PRIMARY : REPAIR_NONE;
}

static enum repair repair_for(const struct exchange *x, const uint8_t *body, size_t size,
                              enum counter *counter)
{
	const struct complaint e = {.code = message_error_field(body, size, 'C'),
	                            .message = message_error_field(body, size, 'M'),
	                            .file = message_error_field(body, size, 'F'),
	                            .routine = message_error_field(body, size, 'R')};
	if (!e.code || !e.message)
		return REPAIR_NONE;
	*counter = COUNTER_REPAIRED_PLAN;
	if (is(e.code, "0A000") && is(e.routine, "RevalidateCachedQuery"))
		return x->status == 'I' ? REPAIR_PLAN : REPAIR_NONE;
	return x->replay == REPLAY_ANYWHERE ? repair_of_read(x, &e, counter) : REPAIR_NONE;
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
	enum counter counter = COUNTER_REPAIRED_LOST;
	enum repair repair = repair_for(x, body, size, &counter);
	if (!c->home && repair != REPAIR_PLAN)
		return REPAIRED_NOT;
	switch (repair) {
	case REPAIR_NONE:
		return REPAIRED_NOT;
	case REPAIR_PLAN:
		if (!run_here(x))
			return REPAIRED_NOT;
		relay_tally(x, counter);
		return REPAIRED_HERE;
	case REPAIR_PRIMARY:
		relay_tally(x, counter);
		learn(x);
		run_elsewhere(x, c->home->cluster->default_write, false);
		return REPAIRED_ELSEWHERE;
	case REPAIR_ELSEWHERE:
		relay_tally(x, counter);
		if (strncmp(message_error_field(body, size, 'C'), "57P0", 4) == 0)
			endpoint_lost(x->server->endpoint);
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
