/* relay.c - the client's side: cuts its bytes into batches, asks where they go, and sends them
 * there.
 *
 * A batch goes at once to the attached server when it must (a block, a pin, an open extended batch)
 * or when its verdict agrees; another verdict waits until no answer is outstanding, so that
 * responses never overtake. */
/* SPDX-License-Identifier: MIT */
#include "router/relay.h"

#include "base/clock.h"
#include "router/batch.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct exchange *exchange_new(struct client *c)
{
	struct worker *w = c->worker;
	struct exchange *x;
	if (list_empty(&w->spare)) {
		x = malloc(sizeof *x);
		if (!x)
			return NULL;
	} else {
		x = LIST_ENTRY(w->spare.next, struct exchange, link);
		list_remove(&x->link);
	}
	memset(x, 0, offsetof(struct exchange, replay));
	list_init(&x->link);
	x->client = c;
	x->status = 'I';
	c->exchange = x;
	return x;
}

void exchange_free(struct exchange *x)
{
	dispatch_cancel(&x->dispatch);
	buffer_free(&x->to_server);
	buffer_free(&x->pending);
	x->client->exchange = NULL;
	list_push_front(&x->client->worker->spare, &x->link);
}

bool relay_busy(const struct client *c)
{
	const struct exchange *x = c->exchange;
	return x && (x->outstanding || x->swallow || !x->server);
}

void relay_abandon(struct client *c)
{
	struct exchange *x = c->exchange;
	if (!x)
		return;
	struct server *server = x->server;
	bool clean = !c->pins && !x->open && !x->outstanding && !x->swallow && x->status == 'I';
	exchange_free(x);
	if (server)
		relay_give_back(c->worker, server, clean);
}

/* Refuses the batch at hand: the client gets one error, and where the batch's Sync is still to come
 * nothing counts until then. */
static void refuse_batch(struct client *c, const struct batch *b, const char *sqlstate,
                         const char *message)
{
	enum status status = message_error(&c->out, "ERROR", sqlstate, message, NULL);
	if (b->end == BATCH_NO_ANSWER)
		c->skip_to_sync = true;
	else if (status == ST_OK)
		status = message_ready(&c->out, 'I');
	if (status != ST_OK)
		client_drop(c);
	else
		client_flush(c);
}

/* The policy's word; what leaves state behind, or may not end where it began, goes to the primary.
 */
static struct verdict decide(struct client *c, const struct batch *b)
{
	static const struct facts unread = {
	        .intent = INTENT_WRITE, .kind = SQL_UNKNOWN, .reason = "too long"};
	const struct script_cluster *home = c->home;
	const struct facts *facts = &unread;
	if (b->text && b->sql)
		facts = classifier_facts(c->worker->classifier, b->sql, b->sql_size,
		                         c->standard_strings);
	const struct query query = {
	        .facts = facts,
	        .sql = b->sql ? b->sql : "",
	        .sql_size = b->sql_size,
	        .standard_strings = c->standard_strings,
	        .parameters = b->parameters,
	        .session = &c->session,
	};
	struct verdict v = policy_route(home->policy, &query);
	if (v.kind != VERDICT_REJECT && (c->pins || b->pins || b->named ||
	                                 b->end == BATCH_NO_ANSWER || (b->unnamed && !b->executes)))
		v = (struct verdict){.kind = VERDICT_ROUTE, .route = home->cluster->default_write};
	return v;
}

static bool agrees(const struct client *c, const struct verdict *v, const struct endpoint *e)
{
	const struct demand demand = {.now = clock_now(), .last_write = c->last_write};
	if (v->kind == VERDICT_ENDPOINT)
		return v->endpoint == e;
	return v->kind == VERDICT_ROUTE && route_accepts(v->route, e, &demand);
}

static void note_pins(struct client *c, const struct batch *b)
{
	if (b->effects & EFFECT_UNPIN_ALL)
		c->pins &= RELAY_PIN_ENCODING;
	c->pins |= b->pins;
	if (b->named)
		c->pins |= RELAY_PIN_STATEMENT;
	if (b->unnamed && !b->executes)
		c->pins |= RELAY_PIN_UNNAMED;
	else if (b->unnamed || b->end == BATCH_QUERY)
		c->pins &= ~(unsigned)RELAY_PIN_UNNAMED;
}

/* Remembers a read that stands alone, so that it can be run again elsewhere. */
static void note_replay(struct exchange *x, const struct batch *b, const uint8_t *bytes)
{
	bool alone = b->text && b->intent == INTENT_READ && !b->several && !b->pins && !b->named &&
	             !b->uncertain && !b->passing && b->end != BATCH_NO_ANSWER && !x->open &&
	             x->status == 'I' && x->outstanding == 0 && !x->client->pins;
	x->replay_size = 0;
	x->decided = true;
	if (!alone || b->size > RELAY_REPLAY)
		return;
	memcpy(x->replay, bytes, b->size);
	x->replay_size = b->size;
	x->replay_text = (size_t)((const uint8_t *)b->sql - bytes);
	x->replay_text_size = b->sql_size;
	x->decided = false;
}

static uint8_t flags_of(const struct batch *b)
{
	return (uint8_t)((b->end == BATCH_QUERY ? BATCH_SIMPLE : 0) | (b->bare ? BATCH_BARE : 0) |
	                 (b->copy_end ? BATCH_COPY_END : 0) |
	                 (b->intent == INTENT_WRITE ? BATCH_WRITE : 0) |
	                 (b->uncertain ? BATCH_UNCERTAIN : 0));
}

void relay_push(struct exchange *x, uint8_t flags)
{
	x->flags[(x->first + x->outstanding++) % RELAY_PIPELINE] = flags;
}

static void forward(struct client *c, const struct batch *b, const uint8_t *bytes)
{
	struct exchange *x = c->exchange;
	x->chosen = false;
	note_replay(x, b, bytes);
	note_pins(c, b);
	x->replay_flags = flags_of(b);
	if (b->end != BATCH_NO_ANSWER)
		relay_push(x, x->replay_flags);
	x->open = b->end == BATCH_NO_ANSWER;
	x->passing = b->passing;
	relay_to_server(x, bytes, b->size);
}

static bool any_uncertain(const struct exchange *x)
{
	for (unsigned i = 0; i < x->outstanding; i++)
		if (x->flags[(x->first + i) % RELAY_PIPELINE] & BATCH_UNCERTAIN)
			return true;
	return false;
}

/* Whether the batch belongs to the attached server whatever the policy would say. */
static bool bound(const struct client *c, const struct exchange *x)
{
	if (x->chosen || x->open || c->pins)
		return true;
	return x->status != 'I' && !any_uncertain(x);
}

/* Nothing is attached: asks the policy and looks for a server. ST_AGAIN: not there yet. */
static enum status choose(struct client *c, const struct batch *b)
{
	struct verdict v = decide(c, b);
	if (v.kind == VERDICT_REJECT) {
		refuse_batch(c, b, v.sqlstate, v.message);
		return ST_ECLIENT;
	}
	struct exchange *x = c->exchange ? c->exchange : exchange_new(c);
	if (!x) {
		refuse_batch(c, b, "53200", "out of memory");
		return ST_ECLIENT;
	}
	x->excluded = 0;
	relay_choose(x, v.kind == VERDICT_ROUTE ? v.route : NULL, v.endpoint);
	return x->server || *x->sqlstate ? ST_OK : ST_AGAIN;
}

static enum status refuse_for_lack(struct client *c, const struct batch *b)
{
	struct exchange *x = c->exchange;
	char sqlstate[sizeof x->sqlstate], message[sizeof x->message];
	memcpy(sqlstate, x->sqlstate, sizeof sqlstate);
	memcpy(message, x->message, sizeof message);
	exchange_free(x);
	refuse_batch(c, b, sqlstate, message);
	return ST_OK;
}

static enum status route_batch(struct client *c, const struct batch *b, const uint8_t *bytes)
{
	struct exchange *x = c->exchange;
	if (b->needs_unnamed &&
	    !(x && x->server && !x->chosen && (c->pins || x->open || x->status != 'I'))) {
		if (x && x->outstanding)
			return ST_AGAIN;
		refuse_batch(c, b, "26000", "unnamed prepared statement does not exist any more");
		return ST_OK;
	}
	if (!x || (!x->server && !*x->sqlstate)) {
		if (x)
			return ST_AGAIN; /* being chosen */
		switch (choose(c, b)) {
		case ST_OK:
			break;
		case ST_AGAIN:
			return ST_AGAIN;
		default:
			return ST_OK;
		}
		x = c->exchange;
	}
	if (*x->sqlstate)
		return refuse_for_lack(c, b);
	if (x->outstanding == RELAY_PIPELINE)
		return ST_AGAIN;
	if (!bound(c, x) && x->outstanding) {
		struct verdict v;
		if (any_uncertain(x) || x->swallow)
			return ST_AGAIN;
		v = decide(c, b);
		if (!agrees(c, &v, x->server->endpoint))
			return ST_AGAIN;
	}
	forward(c, b, bytes);
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
	relay_to_server(x, bytes, n);
}

/* While the server reads a COPY: its data, and Sync and Flush, which it ignores until the end. */
static enum step pass_copy(struct exchange *x, const uint8_t *bytes, size_t size, size_t *used)
{
	struct frame f;
	enum status status = wire_frame(bytes, size, &f);
	if (status != ST_OK)
		return step_of(status);
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

static void say_ready(struct client *c)
{
	if (message_ready(&c->out, 'I') != ST_OK)
		client_drop(c);
	else
		client_flush(c);
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
	if (f.type == 'S') {
		c->skip_to_sync = false;
		say_ready(c);
	}
	size_t n = f.size < size ? f.size : size;
	c->discard = f.size - n;
	*used += n;
	return STEP_GO;
}

static void discard(struct client *c, size_t size, size_t *used)
{
	size_t n = size < c->discard ? size : c->discard;
	c->discard -= n;
	*used += n;
}

static enum step take_batch(struct client *c, const uint8_t *bytes, size_t size, size_t *used)
{
	struct batch b;
	const char *wrong = NULL;
	enum status status =
	        batch_scan(c->worker->classifier, c->standard_strings, bytes, size, &b, &wrong);
	if (status == ST_AGAIN)
		return STEP_MORE;
	if (status != ST_OK) {
		client_close(c, "08P01", wrong, NULL);
		return STEP_GO;
	}
	if (b.end == BATCH_TERMINATE) {
		client_close(c, NULL, NULL, NULL);
		return STEP_GO;
	}
	if (b.end == BATCH_STRAY)
		c->discard = b.passing;
	else if (b.bare && !c->exchange)
		say_ready(c); /* an empty batch needs no server */
	else if (route_batch(c, &b, bytes) == ST_AGAIN)
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
		return pass_copy(x, bytes, size, used);
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
