/* relay_take.c - the client's side: cuts its bytes into batches, and answers those that no server
 * has to see. */
/* SPDX-License-Identifier: MIT */
#include "router/relay.h"

#include "router/own.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <string.h>

/* A batch that PostgreSQL would take, and the pool mode does not. One that goes on with an open
 * batch is the server's to answer: relay_settle() sees what comes of it. */
static bool against_mode(const struct client *c, const struct batch *b)
{
	return c->config->mode == POOL_STATEMENT && b->effects & EFFECT_BEGIN &&
	       !(c->exchange && c->exchange->open);
}

static enum status refuse_mode(struct client *c, const struct batch *b)
{
	if (relay_busy(c))
		return ST_AGAIN; /* its answer comes behind those that are awaited */
	relay_refuse_batch(c, b, "0A000",
	                   "transaction blocks are not allowed in pool mode \"statement\"", NULL);
	return ST_OK;
}

/* What a step of relay_take() comes to. */
enum step {
	STEP_GO,      /* on with the bytes that are left */
	STEP_MORE,    /* what is left is incomplete: read on */
	STEP_WAIT,    /* what is left waits for a server or for answers */
	STEP_INVALID, /* no message has such a length */
};

static enum step step_of(enum status status)
{
	return status == ST_OK ? STEP_GO : status == ST_AGAIN ? STEP_MORE : STEP_INVALID;
}

/* Bytes of a message that has been routed already. */
static void pass(struct exchange *x, const uint8_t *bytes, size_t size, size_t *used)
{
	size_t n = size < x->passing ? size : x->passing;
	x->passing -= n;
	*used += n;
	relay_watch(x, bytes, n);
	relay_to_server(x, bytes, n);
}

/* While the server reads a COPY: its data, and Sync and Flush, which it ignores until the end. */
static enum step pass_copy(struct client *c, const uint8_t *bytes, size_t size, size_t *used)
{
	struct exchange *x = c->exchange;
	struct frame f;
	enum status status = wire_frame(bytes, size, &f);
	if (status != ST_OK)
		return step_of(status);
	if (f.type == 'X') {
		client_close(c, NULL, NULL, NULL);
		return STEP_GO;
	}
	if (!strchr("dcfHS", f.type)) {
		x->copy_in = false; /* no copy data: let the server complain */
		return STEP_GO;
	}
	if (f.type == 'c' || f.type == 'f')
		x->copy_in = false;
	x->passing = f.size;
	pass(x, bytes, size, used);
	return STEP_GO;
}

static void flush_or_drop(struct client *c, enum status status)
{
	if (status != ST_OK)
		client_drop(c);
	else
		client_flush(c);
}

static char status_now(const struct client *c)
{
	const struct exchange *x = c->exchange;
	return x && x->server ? x->status : block_status(c);
}

/* After a refused batch: all but Sync and Terminate is passed over. */
static enum step skip(struct client *c, const uint8_t *bytes, size_t size, size_t *used)
{
	struct frame f;
	enum status status = wire_frame(bytes, size, &f);
	if (status != ST_OK)
		return step_of(status);
	if (f.type == 'X') {
		client_close(c, NULL, NULL, NULL);
		return STEP_GO;
	}
	size_t n = f.size < size ? f.size : size;
	c->discard = f.size - n;
	*used += n;
	if (f.type == 'S') {
		c->skip_to_sync = false;
		flush_or_drop(c, message_ready(&c->out, status_now(c)));
	}
	return STEP_GO;
}

static void discard(struct client *c, size_t size, size_t *used)
{
	size_t n = size < c->discard ? size : c->discard;
	c->discard -= n;
	*used += n;
}

/* What no server has to see. */
static bool answer_here(struct client *c, const struct batch *b, const uint8_t *bytes)
{
	struct exchange *x = c->exchange;
	if (x) {
		bool quiet = x->server && !x->outstanding && !x->asking && x->status != 'E' &&
		             !(c->pins & RELAY_PIN_SESSION);
		if (!quiet || !block_deallocate(c, b, x->status))
			return false;
		client_flush(c);
		return true;
	}
	if (b->bare) {
		flush_or_drop(c, message_ready(&c->out, block_status(c)));
		return true;
	}
	if (c->pins)
		return false;
	switch (block_answer(c, b, bytes)) {
	case ANSWERED:
		client_flush(c);
		return true;
	case UNANSWERABLE:
		client_drop(c);
		return true;
	case NOT_ANSWERED:
		break;
	}
	return false;
}

/* Where the batch's tables are noted, emptied; NULL where no route wants to know. */
static struct batch_tables *tables_for(const struct client *c)
{
	struct batch_tables *tables = &c->worker->tables;
	if (!c->home || !(c->home->cluster->scopes & 1u << SCOPE_TABLE))
		return NULL;
	tables->all.count = tables->written.count = 0;
	tables->all.any = tables->written.any = false;
	return tables;
}

static enum step take_batch(struct client *c, const uint8_t *bytes, size_t size, size_t *used)
{
	struct batch b;
	const char *wrong = NULL;
	const struct batch_reader reader = {.classifier = c->worker->classifier,
	                                    .statements = &c->worker->statements,
	                                    .parse_key = c->settings->parse_key,
	                                    .catalog = client_catalog(c),
	                                    .standard_strings = c->standard_strings,
	                                    .unreadable = c->pins & RELAY_PIN_ENCODING,
	                                    .names = c->names,
	                                    .unnamed = c->unnamed,
	                                    .touched = &c->worker->touched,
	                                    .tables = tables_for(c)};
	c->worker->touched.head = c->worker->touched.tail = 0;
	enum status status = batch_scan(&reader, bytes, size, &b, &wrong);
	if (status == ST_AGAIN)
		return STEP_MORE;
	if (status != ST_OK) {
		client_close(c, status == ST_ECLIENT ? "08P01" : "53200",
		             status == ST_ECLIENT ? wrong : "out of memory", NULL);
		return STEP_GO;
	}
	if (b.end == BATCH_TERMINATE) {
		if (relay_busy(c))
			return STEP_WAIT; /* what came before it is done first, as by PostgreSQL */
		client_close(c, NULL, NULL, NULL);
		return STEP_GO;
	}
	switch (b.end == BATCH_STRAY ? OWN_NOT : own_answer(c, &b, bytes)) {
	case OWN_LATER:
		return STEP_WAIT;
	case OWN_ANSWERED:
		*used += b.size;
		return STEP_GO;
	case OWN_NOT:
		break;
	}
	if (b.end == BATCH_STRAY) {
		if (c->exchange && (c->exchange->outstanding || !c->exchange->server))
			return STEP_WAIT; /* a COPY may be about to begin */
		c->discard = b.passing;
	} else if (against_mode(c, &b)) {
		if (refuse_mode(c, &b) == ST_AGAIN)
			return STEP_WAIT;
	} else if (!answer_here(c, &b, bytes) && relay_route_batch(c, &b, bytes) == ST_AGAIN)
		return STEP_WAIT;
	*used += b.size;
	return STEP_GO;
}

static enum step take_step(struct client *c, const uint8_t *bytes, size_t size, size_t *used)
{
	struct exchange *x = c->exchange;
	if (x && buffer_size(&x->to_server))
		return STEP_WAIT;
	if (x && x->passing)
		pass(x, bytes, size, used);
	else if (c->discard)
		discard(c, size, used);
	else if (c->skip_to_sync)
		return skip(c, bytes, size, used);
	else if (x && x->copy_in)
		return pass_copy(c, bytes, size, used);
	else
		return take_batch(c, bytes, size, used);
	return STEP_GO;
}

enum status relay_take(struct client *c, const uint8_t *bytes, size_t size, size_t *used)
{
	while (*used < size && c->state == CLIENT_READY) {
		switch (take_step(c, bytes + *used, size - *used, used)) {
		case STEP_GO:
			break;
		case STEP_MORE:
			return ST_OK;
		case STEP_WAIT:
			return ST_AGAIN;
		case STEP_INVALID:
			client_close(c, "08P01", "invalid message length", NULL);
			break;
		}
	}
	return c->state == CLIENT_READY ? ST_OK : ST_CLOSED;
}
