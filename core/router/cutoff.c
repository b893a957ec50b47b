/* cutoff.c - see cutoff.h. */
/* SPDX-License-Identifier: MIT */
#include "router/cutoff.h"

#include "base/clock.h"
#include "router/block.h"
#include "router/rewrite.h"
#include "wire/message.h"

#include <string.h>

#define ROLLED_BACK "the server connection was lost; the transaction is rolled back"
#define LOST        "the server connection was lost"
#define UNKNOWN     LOST "; whether the statement took effect is unknown"

/* What a session holds now is known only once the server has been asked. */
static bool knows_session(const struct exchange *x)
{
	bool has_set = buffer_size(&x->touched) && x->touching <= x->answered;
	if (x->status == 'I' && has_set)
		return false;
	return !x->owed && !x->asking && !x->discarded && (x->outstanding || x->status != 'I');
}

bool cutoff_may_stay(const struct exchange *x)
{
	bool torn = x->rest && !x->drop_rest;
	return !torn && !x->client->pins && (x->open || knows_session(x));
}

static uint8_t flags_at(const struct exchange *x, unsigned i)
{
	return x->flags[(x->first + i) % RELAY_PIPELINE];
}

static bool in_block(const struct exchange *x)
{
	return x->status != 'I' || buffer_size(&x->begin);
}

/* Whether the batch may have changed data for good: it stands outside of a block, or ends one. */
static bool may_have_committed(uint8_t flags, bool block)
{
	return flags & BATCH_WRITE && (!block || flags & BATCH_ENDS);
}

/* 57P02 may come between a commit and the word of it; an orderly end (57P01) does not, and where a
 * wait for synchronous standbys was cut short, no FATAL is sent at all (syncrep.c). */
static bool leaves_doubt(const struct exchange *x, const char *code)
{
	uint8_t flags = x->outstanding ? flags_at(x, 0) : x->open_flags;
	return strcmp(code, "57P02") == 0 && may_have_committed(flags, in_block(x));
}

enum status cutoff_take_fatal(struct exchange *x, const uint8_t *body, size_t size,
                              struct buffer *instead)
{
	const char *code = message_error_field(body, size, 'C');
	const char *message = message_error_field(body, size, 'M');
	if (!code || !message || strlen(code) != 5)
		return ST_OK;
	memcpy(x->farewell, code, sizeof x->farewell);
	bool awaited = x->outstanding || (x->open && !x->failed_open);
	if (!awaited || x->errored || leaves_doubt(x, code))
		return ST_OK;
	x->errored = true;
	return message_error(instead, "ERROR", code, message, NULL);
}

static enum status error(struct exchange *x, bool unknown, const char *otherwise)
{
	struct client *c = x->client;
	if (!unknown)
		return message_error(&c->out, "ERROR", "08006", otherwise, NULL);
	relay_tally(x, COUNTER_UNKNOWN_OUTCOMES);
	c->last_write = clock_now(); /* if it did, the client may want to see it */
	return message_error(&c->out, "ERROR", "08007", UNKNOWN, NULL);
}

/* One answer that will not come; `block` is the state before it, and after it. */
static enum status answer(struct exchange *x, unsigned i, bool *block)
{
	struct client *c = x->client;
	uint8_t flags = flags_at(x, i);
	bool was_block = *block, first = i == 0;
	enum status status = ST_OK;
	if (flags & (BATCH_BEGINS | BATCH_ENDS))
		*block = flags & BATCH_BEGINS;
	bool copying = first && x->copy_in; /* and its end was not sent */
	if (may_have_committed(flags, was_block) && !copying) {
		if (!(first && x->errored))
			status = error(x, true, NULL);
	} else if (first && !x->errored) {
		status = error(x, false, was_block ? ROLLED_BACK : LOST);
	} else if (!first) {
		status = was_block ? block_refuse(c) : error(x, false, LOST);
	}
	return status == ST_OK ? message_ready(&c->out, *block ? 'E' : 'I') : status;
}

/* A batch without its Sync yet: one error, if it has not had one; the rest is passed over. */
static enum status answer_open(struct exchange *x, bool *block)
{
	struct client *c = x->client;
	bool told = x->failed_open || (x->errored && !x->outstanding);
	bool unknown = may_have_committed(x->open_flags, *block) && !x->copy_in;
	if (x->open_flags & (BATCH_BEGINS | BATCH_ENDS))
		*block = x->open_flags & BATCH_BEGINS;
	c->skip_to_sync = true;
	if (told)
		return ST_OK;
	return error(x, unknown, LOST);
}

void cutoff_go_on(struct exchange *x)
{
	struct client *c = x->client;
	struct server *server = x->server;
	bool block = in_block(x), told = x->outstanding || x->open || x->status == 'E';
	enum status status = ST_OK;
	demands_lost(x);
	if (block && x->status != 'E')
		relay_tally(x, COUNTER_CUT_OFF_BLOCKS);
	rewrite_undo_all(x);
	for (unsigned i = 0; i < x->outstanding && status == ST_OK; i++)
		status = answer(x, i, &block);
	if (status == ST_OK && x->open)
		status = answer_open(x, &block);
	if (block)
		block_cut_off(c, told ? NULL : *x->farewell ? x->farewell : "08006");
	c->discard = x->passing;
	exchange_free(x);
	if (server)
		relay_give_back(c->worker, server, false);
	if (status != ST_OK)
		client_drop(c);
	else if (client_flush(c) && c->state == CLIENT_READY)
		client_resume(c);
}
