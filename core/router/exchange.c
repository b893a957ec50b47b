/* exchange.c - an exchange's beginning and end, and the ring of awaited answers. */
/* SPDX-License-Identifier: MIT */
#include "router/relay.h"

#include "router/asked.h"

#include <stdlib.h>
#include <string.h>

struct exchange *exchange_new(struct client *c)
{
	struct worker *w = c->worker;
	struct exchange *x;
	if (list_empty(&w->spare)) {
		x = calloc(1, sizeof *x);
		if (!x)
			return NULL;
	} else {
		x = LIST_ENTRY(w->spare.next, struct exchange, link);
		list_remove(&x->link);
	}
	struct edits edits = x->edits; /* keeps its room */
	struct tables *tables = x->tables;
	memset(x, 0, offsetof(struct exchange, replay_bytes));
	x->edits = edits;
	x->tables = tables;
	if (tables)
		*tables = (struct tables){0};
	list_init(&x->link);
	x->client = c;
	x->status = 'I';
	c->exchange = x;
	return x;
}

void exchange_free(struct exchange *x)
{
	dispatch_cancel(&x->dispatch);
	edits_clear(&x->edits);
	asked_free(x);
	statement_unref(x->replay_statement);
	free(x->said);
	buffer_free(&x->begin);
	buffer_free(&x->touched);
	buffer_free(&x->reset);
	buffer_free(&x->to_server);
	buffer_free(&x->pending);
	buffer_free(&x->held);
	buffer_free(&x->replay_long);
	x->client->exchange = NULL;
	list_remove(&x->link);
	list_push_front(&x->client->worker->spare, &x->link);
}

void exchange_push(struct exchange *x, uint8_t flags)
{
	unsigned last = (x->first + x->outstanding++) % RELAY_PIPELINE;
	x->flags[last] = flags | x->open_flags;
	x->measures[last] = x->measuring;
	x->timeouts[last] = x->timeout;
	x->open_flags = 0;
	x->measuring = (struct measure){0};
	x->pushed++;
	x->sent = 0;
	x->failed_open = x->flushed = false;
}

bool exchange_uncertain(const struct exchange *x)
{
	for (unsigned i = 0; i < x->outstanding; i++)
		if (x->flags[(x->first + i) % RELAY_PIPELINE] & BATCH_UNCERTAIN)
			return true;
	return false;
}

bool relay_busy(const struct client *c)
{
	const struct exchange *x = c->exchange;
	return x && (x->outstanding || x->errand_count || !x->server);
}

bool relay_starves(const struct client *c)
{
	const struct exchange *x = c->exchange;
	return x && (x->passing || x->copy_in);
}

void exchange_free_spare(struct worker *w)
{
	LIST_EACH (&w->spare, link) {
		struct exchange *x = LIST_ENTRY(link, struct exchange, link);
		edits_free(&x->edits);
		free(x->tables);
		free(x);
	}
}

void exchange_begin_copy_in(struct exchange *x)
{
	x->copy_in = true;
	while (x->outstanding) {
		uint8_t flags = x->flags[x->first];
		if (flags & (BATCH_SIMPLE | BATCH_COPY_END)) {
			x->copy_in = !(flags & BATCH_COPY_END);
			return;
		}
		if (!x->measuring.known)
			x->measuring = x->measures[x->first];
		x->first = (x->first + 1) % RELAY_PIPELINE;
		x->outstanding--;
		x->answered++;
		x->open = true;
		x->open_flags |=
		        flags & (BATCH_WRITE | BATCH_UNCERTAIN | BATCH_BEGINS | BATCH_ENDS);
		if (x->outstanding && !(x->flags[x->first] & BATCH_BARE))
			return;
	}
}

bool relay_torn(const struct client *c)
{
	const struct exchange *x = c->exchange;
	return x && x->rest && !x->drop_rest && x->decided;
}
