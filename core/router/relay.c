/* relay.c - a batch on its way: asks where it goes, and sends it there.
 *
 * A batch goes at once to the attached server when it must (a block, a pin, an open extended batch)
 * or when its verdict agrees; another verdict waits until no answer is outstanding, so that
 * responses never overtake. */
/* SPDX-License-Identifier: MIT */
#include "router/relay.h"

#include "cluster/pause.h"
#include "router/asked.h"
#include "router/errand.h"
#include "router/judge.h"
#include "router/mirror.h"
#include "router/own.h"
#include "router/refusal.h"
#include "router/rewrite.h"
#include "router/sequences.h"
#include "router/statement_log.h"
#include "router/wash.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

/* What is true of a whole batch if it is of a part of it. */
#define FLAGS_KEPT (BATCH_WRITE | BATCH_UNCERTAIN | BATCH_COPY_END | BATCH_BEGINS | BATCH_ENDS)

/* What has to be looked at once the transaction is over. */
#define EFFECTS_RESET (EFFECT_RESET | EFFECT_RESET_ALL)
#define EFFECTS_KEPT  (EFFECTS_RESET | EFFECT_MAY_PIN | EFFECT_UNPINS | EFFECT_DDL)

/* What may leave state behind, beside pins and settings. */
#define EFFECTS_SOIL (EFFECTS_RESET | EFFECT_MAY_PIN)

void relay_abandon(struct client *c)
{
	struct exchange *x = c->exchange;
	if (!x)
		return;
	struct server *server = x->server;
	unsigned errands = x->errand_count;
	demands_lost(x);
	bool quiet = !x->open && !x->outstanding && !x->passing && x->status == 'I' && !x->rest &&
	             !buffer_size(&x->pending) && !buffer_size(&x->to_server);
	bool clean = quiet && !errands && !c->pins && !x->soiled && !errand_is_due(x);
	if (quiet && !errands && c->pins == RELAY_PIN_SESSION && !c->dirty)
		clean = true;
	exchange_free(x);
	if (!server)
		return;
	if (quiet && !clean && !(c->pins & PIN_LOAD))
		wash_server(c->worker, server, errands);
	else
		relay_give_back(c->worker, server, clean);
}

void relay_refuse_batch(struct client *c, const struct batch *b, const char *sqlstate,
                        const char *message, const char *hint)
{
	enum status status = message_error(&c->out, "ERROR", sqlstate, message, hint);
	if (c->block.state == BLOCK_LAZY)
		block_fail(c);
	if (b->end == BATCH_NO_ANSWER)
		c->skip_to_sync = true;
	else if (status == ST_OK)
		status = message_ready(&c->out, block_status(c));
	if (status != ST_OK)
		client_drop(c);
	else
		client_flush(c);
}

static uint8_t flags_of(const struct exchange *x, const struct batch *b)
{
	bool runs = !b->extended || b->executes || b->end == BATCH_NO_ANSWER;
	bool writes = b->writes || (b->commits && x->wrote);
	return (uint8_t)((b->end == BATCH_QUERY ? BATCH_SIMPLE : 0) | (b->bare ? BATCH_BARE : 0) |
	                 (b->copy_end ? BATCH_COPY_END : 0) | (writes && runs ? BATCH_WRITE : 0) |
	                 (b->uncertain ? BATCH_UNCERTAIN : 0) |
	                 (runs && b->effects & EFFECT_BEGIN ? BATCH_BEGINS : 0) |
	                 (runs && b->effects & EFFECT_END ? BATCH_ENDS : 0));
}

enum status relay_send_batch(struct exchange *x, const struct batch *b, const uint8_t *bytes)
{
	struct client *c = x->client;
	struct buffer *out = &c->worker->rewritten; /* its memory is kept */
	bool rewritten = false;
	enum status status = ST_OK;
	out->head = out->tail = 0;
	if (!b->extended)
		rewrite_drop_unnamed(x);
	else if (!x->failed_open && c->pins & RELAY_PIN_SESSION)
		rewrite_count(x, b, bytes);
	else if (!x->failed_open)
		status = rewrite_batch(x, b, bytes, out, &rewritten);
	if (status == ST_OK && rewritten)
		relay_to_server(x, buffer_data(out), buffer_size(out));
	else if (status == ST_OK)
		relay_to_server(x, bytes, b->size);
	if (out->room > WORKER_BUFFER)
		buffer_free(out);
	return status;
}

/* Several statements in one string may SET again what they RESET. */
static void note_resets(struct exchange *x, const struct batch *b)
{
	bool session = b->effects & EFFECTS_RESET && b->statements > 1;
	if (!session && !(b->effects & EFFECT_RESET_LOCAL))
		return;
	x->reset_local = !session && (x->reset_local || !x->reset_check);
	x->reset_check = true;
}

/* The catalog lacks a change that was seen: who knows what the defaults and triggers of a table do
 * by now. */
static bool writes_unseen(const struct client *c, const struct batch *b)
{
	return b->writes && c->catalog && c->catalog->behind && !(c->pins & RELAY_PIN_SESSION);
}

static unsigned kept_effects(const struct client *c, const struct batch *b)
{
	unsigned kept = b->effects & EFFECTS_KEPT;
	if (b->pins & PIN_TEMP && b->statements == 1)
		kept &= ~(unsigned)EFFECT_DDL; /* of its own session: in no catalog of ours */
	return writes_unseen(c, b) ? kept | EFFECT_MAY_PIN : kept;
}

/* What the session will have to be asked about. */
static enum status note_effects(struct exchange *x, const struct batch *b)
{
	struct client *c = x->client;
	const struct buffer *touched = &c->worker->touched;
	enum status status = ST_OK;
	c->pins |= b->pins;
	c->dirty |= b->pins || b->names || b->effects & EFFECTS_SOIL || buffer_size(touched);
	if (b->effects & EFFECT_DDL)
		c->worker->catalog_epoch++;
	if (b->effects & EFFECT_BEGIN) /* of a client that keeps its server */
		x->block_effects = b->effects;
	note_resets(x, b);
	if (b->effects & EFFECT_RESET && b->statements == 1)
		status = buffer_append(&x->reset, buffer_data(touched), buffer_size(touched));
	if (c->pins & RELAY_PIN_SESSION) {
		x->effects |= b->effects & (EFFECTS_RESET | EFFECT_DDL);
		return status;
	}
	if (b->pins & PIN_TEMP)
		session_distrust(x->session);
	c->unread |= b->unread;
	x->effects |= kept_effects(c, b) | (b->pins ? RELAY_EFFECT_PINNED : 0);
	if (status != ST_OK || buffer_size(touched) == 0)
		return status;
	if (x->touching != x->sending + 1)
		x->touched_before = buffer_size(&x->touched);
	x->touching = x->sending + 1;
	return buffer_append(&x->touched, buffer_data(touched), buffer_size(touched));
}

void relay_watch(struct exchange *x, const uint8_t *bytes, size_t size)
{
	if (x->watching && long_text_feed(&x->text, bytes, size)) {
		x->client->pins |= PIN_SESSION;
		x->watching = false;
	}
}

/* Only the beginning of a long text is there. */
static void begin_watch(struct exchange *x, const struct batch *b, const uint8_t *bytes)
{
	x->watching = b->unread && b->passing && !(x->client->pins & RELAY_PIN_SESSION);
	x->text = (struct long_text){0};
	relay_watch(x, bytes, b->size);
}

static void push(struct exchange *x, const struct batch *b)
{
	uint32_t of_query = b->statements == 1;
	x->expected = b->extended ? x->sent : of_query;
	exchange_push(x, flags_of(x, b));
}

/* The policy may want the batch to go elsewhere, too. Comes last: what the worker knows of the
 * batch is gone where another client goes on meanwhile. */
static void copy_to_mirror(struct client *c, const struct batch *b, const uint8_t *bytes)
{
	struct route *to = c->exchange->mirror;
	c->exchange->mirror = NULL;
	if (to && c->home)
		mirror_send(c, to, b, bytes);
}

static enum status forward(struct client *c, const struct batch *b, const uint8_t *bytes)
{
	struct exchange *x = c->exchange;
	x->chosen = false;
	last_route_sent(c, x->server->endpoint, !x->judged);
	asked_note(x, b);
	statement_log_sent(x, b);
	relay_note_replay(x, b, bytes);
	x->sending = x->pushed;
	if (!x->outstanding && !x->open)
		x->batch_since = c->worker->tick;
	if (b->changes_names)
		x->settling = x->pushed + 1;
	begin_watch(x, b, bytes);
	enum status status = note_effects(x, b);
	if (status == ST_OK && sequences_are_due(x, b))
		status = errand_forget_sequences(x);
	measure_sent(x, b);
	if (status == ST_OK)
		status = relay_send_batch(x, b, bytes);
	demands_sent(x, b);
	sequences_sent(x, b);
	x->wrote |= b->writes;
	x->passing = b->passing;
	x->open = b->end == BATCH_NO_ANSWER;
	if (x->open)
		x->open_flags |= flags_of(x, b) & FLAGS_KEPT;
	else
		push(x, b);
	if (status == ST_OK)
		copy_to_mirror(c, b, bytes);
	return status;
}

static enum status refuse_in_place(struct exchange *x, const struct batch *b,
                                   const struct verdict *rejection)
{
	x->sending = x->pushed;
	x->judged = false;
	relay_forget_replay(x);
	measure_sent(x, b);
	asked_skip(x);
	enum status status = refusal_send(x, b, rejection);
	x->client->discard = b->passing;
	x->open = b->end == BATCH_NO_ANSWER;
	if (!x->open)
		push(x, b);
	return status;
}

/* Whether the batch belongs to the attached server whatever the policy would say. */
static bool bound(const struct client *c, const struct exchange *x)
{
	if (x->chosen || x->open || c->pins)
		return true;
	return x->status != 'I' && !exchange_uncertain(x);
}

static const struct route_config *config_of(const struct verdict *v)
{
	return v->kind == VERDICT_ROUTE && v->route ? route_config(v->route) : NULL;
}

/* What the verdict says beside the endpoint. */
static void note_verdict(struct exchange *x, const struct verdict *v)
{
	const struct route_config *config = config_of(v);
	x->timeout = config ? config->timeout : 0;
	x->mirror = config ? config->mirror : NULL;
}

/* Nothing is attached: asks the policy and looks for a server. ST_AGAIN: not there yet. */
static enum status choose(struct client *c, const struct batch *b)
{
	struct judgment j;
	judge_batch(c, b, &j);
	const struct verdict *v = &j.verdict;
	last_route_judged(c, v);
	if (v->kind == VERDICT_REJECT) {
		statement_log_rejected(c, b, v);
		if (c->exchange)
			exchange_free(c->exchange);
		relay_refuse_batch(c, b, v->sqlstate, v->message, NULL);
		return ST_ECLIENT;
	}
	struct exchange *x = c->exchange ? c->exchange : exchange_new(c);
	if (!x) {
		relay_refuse_batch(c, b, "53200", "out of memory", NULL);
		return ST_ECLIENT;
	}
	x->excluded = 0;
	x->need = j.need;
	x->last_write = j.last_write;
	x->key = j.key;
	x->judged = true;
	note_verdict(x, v);
	statement_log_judged(x, &j);
	relay_choose(x, v->kind == VERDICT_ROUTE ? v->route : NULL, v->endpoint, b->size);
	if (c->exchange != x)
		return ST_ECLIENT; /* and the client is gone */
	return x->server || *x->sqlstate ? ST_OK : ST_AGAIN;
}

static void refuse_for_lack(struct client *c, const struct batch *b)
{
	struct exchange *x = c->exchange;
	char sqlstate[sizeof x->sqlstate], message[sizeof x->message];
	memcpy(sqlstate, x->sqlstate, sizeof sqlstate);
	memcpy(message, x->message, sizeof message);
	const char *hint = x->hint;
	exchange_free(x);
	asked_in_vain(c, b, sqlstate, message);
	relay_refuse_batch(c, b, sqlstate, message, hint);
}

/* Names mean what the batches before this one have made of them, and that is not known yet. */
static bool names_unsettled(const struct exchange *x, const struct batch *b)
{
	if (!x->outstanding || !(b->names || b->needs_unnamed))
		return false;
	bool same = x->open && x->settling == x->pushed + 1;
	return b->needs_unnamed ? !x->open : !same && x->settling > x->answered;
}

/* A simple Query among extended messages, without a Sync between: the server passes it over where
 * one of those has failed. So their answers are waited for. */
static enum status may_join(struct exchange *x)
{
	static const uint8_t flush[] = {'H', 0, 0, 0, 4};
	if (x->outstanding)
		return ST_AGAIN; /* of earlier batches */
	if (x->completions == x->sent && !x->edits.count)
		return ST_OK;
	if (!x->flushed)
		relay_to_server(x, flush, sizeof flush);
	x->flushed = true;
	return ST_AGAIN;
}

/* Whether the batch may go to the attached server now. */
static enum status may_go(struct client *c, const struct batch *b)
{
	struct exchange *x = c->exchange;
	if (x->outstanding == RELAY_PIPELINE || x->asking || names_unsettled(x, b))
		return ST_AGAIN;
	if (x->outstanding && buffer_size(&c->worker->touched))
		return ST_AGAIN; /* what fails of it is to be told from what does not */
	if (x->open && (!b->extended || sequences_are_due(x, b)))
		return may_join(x);
	if (x->outstanding && sequences_are_due(x, b))
		return ST_AGAIN; /* of our own queries the answers come first */
	if (bound(c, x))
		return ST_OK;
	if (x->errand_count || exchange_uncertain(x))
		return ST_AGAIN;
	if (!x->outstanding)
		return ST_OK;
	if (c->home && cluster_is_paused(c->home->cluster))
		return ST_AGAIN; /* what is under way ends first, and then it is held */
	struct judgment j;
	judge_batch(c, b, &j);
	if (!judge_agrees(c, &j, x->server->endpoint))
		return ST_AGAIN;
	x->judged = true;
	note_verdict(x, &j.verdict);
	last_route_judged(c, &j.verdict);
	statement_log_judged(x, &j);
	if (j.key != x->key)
		x->key = 0;
	return ST_OK;
}

/* Of a batch that is bound to its server the policy says whether it may run, and how long. */
static bool permits(struct client *c, const struct batch *b, struct judgment *j)
{
	struct exchange *x = c->exchange;
	if (x->judged || !judge_may_reject(c, b))
		return true;
	bool permitted = judge_permits(c, b, j);
	const struct route_config *config = config_of(&j->verdict);
	x->timeout = config ? config->timeout : 0;
	if (permitted)
		return true;
	last_route_judged(c, &j->verdict);
	statement_log_rejected(c, b, &j->verdict);
	return false;
}

enum status relay_route_batch(struct client *c, const struct batch *b, const uint8_t *bytes)
{
	struct exchange *x = c->exchange;
	if (!x || (!x->server && !*x->sqlstate)) {
		if (x && x->dispatch.cluster)
			return ST_AGAIN; /* being chosen */
		enum status chosen = choose(c, b);
		if (chosen != ST_OK)
			return chosen == ST_AGAIN ? ST_AGAIN : ST_OK;
		x = c->exchange;
	}
	if (*x->sqlstate) {
		refuse_for_lack(c, b);
		return ST_OK;
	}
	if (x->failed_open && !b->extended)
		return ST_OK; /* passed over, until Sync */
	if (may_go(c, b) == ST_AGAIN)
		return ST_AGAIN;
	struct judgment j;
	bool permitted = permits(c, b, &j);
	enum status status = !permitted             ? refuse_in_place(x, b, &j.verdict)
	                     : refusal_is_due(x, b) ? refuse_in_place(x, b, NULL)
	                                            : forward(c, b, bytes);
	if (status != ST_OK) {
		client_close(c, "53200", "out of memory", NULL);
		return ST_OK;
	}
	relay_say_due(x);
	return ST_OK;
}
