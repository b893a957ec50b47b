/* demands.c - see demands.h. */
/* SPDX-License-Identifier: MIT */
#include "router/demands.h"

#include "base/clock.h"
#include "router/relay.h"

#include <stdlib.h>

struct demands *demands_of(struct client *c)
{
	struct demands *d = c->demands ? c->demands : calloc(1, sizeof *d);
	if (d && !c->demands) { /* what was read until now is not known: it may be the newest */
		d->read.has_read = true;
		d->read.last_read = clock_now();
		d->read.reader = CLUSTER_ENDPOINTS;
	}
	return c->demands = d;
}

void demands_lay(struct need *need, const struct need *over)
{
	if (over->leveled) {
		need->leveled = true;
		need->level = over->level;
	}
	if (over->bounded) {
		need->bounded = true;
		need->max_staleness = over->max_staleness;
	}
	if (over->after.timeline)
		need->after = over->after;
}

bool demands_need(const struct client *c, const struct batch *b, bool in_block, struct need *need,
                  char *wrong, size_t wrong_size)
{
	const struct demands *d = c->demands;
	*need = (struct need){0};
	if (d) {
		*need = d->read;
		demands_lay(need, &d->session);
	}
	if (b->sql &&
	    !need_of_tags(need, b->sql, b->sql_size, c->standard_strings, wrong, wrong_size))
		return false;
	if (!in_block)
		return true;
	if (!need_of_tags(need, (const char *)buffer_data(&c->block.begin),
	                  buffer_size(&c->block.begin), c->standard_strings, wrong, wrong_size))
		return false;
	if (d)
		demands_lay(need, &d->local);
	return true;
}

static bool notes_tables(const struct client *c)
{
	return c->home && c->home->cluster->scopes & 1u << SCOPE_TABLE;
}

/* Without the room for them all tables count. */
static void add_tables(struct exchange *x)
{
	const struct tables *more = &x->client->worker->tables.written;
	if (!x->tables) {
		x->tables = calloc(1, sizeof *x->tables);
		if (x->tables && x->wrote) /* what it wrote before was not noted */
			x->tables->any = true;
	}
	if (x->tables)
		tables_merge(x->tables, more);
}

void demands_sent(struct exchange *x, const struct batch *b)
{
	if (b->writes && notes_tables(x->client))
		add_tables(x);
	if (!x->judged && x->status == 'I')
		x->key = 0; /* the policy was not asked: it may be any */
	x->judged = false;
}

static void note_write(struct exchange *x, double now)
{
	struct client *c = x->client;
	const struct tables *t = x->tables;
	const struct party who = {.user = c->user,
	                          .database = c->database,
	                          .key = x->key,
	                          .tables = t && t->count && !x->reloaded ? t : NULL};
	c->last_write = now;
	if (c->home)
		cluster_wrote(c->home->cluster, &who, now);
}

/* Without the room for it the session's reads need what its writes would. */
static void note_read(struct exchange *x, double now)
{
	struct client *c = x->client;
	const struct endpoint *e = x->server->endpoint;
	struct demands *d = demands_of(c);
	if (!d) {
		c->last_write = now;
		return;
	}
	d->read.has_read = true;
	d->read.last_read = now;
	d->read.reader = e->index;
	d->read.reader_incarnation = e->incarnation;
}

static void follow_block(struct exchange *x)
{
	struct demands *d = x->client->demands;
	if (x->status == 'I')
		demands_end_block(x->client, !d->rolled_back);
	d->rolled_back = false;
}

void demands_answered(struct exchange *x, uint8_t flags)
{
	struct client *c = x->client;
	bool wrote = flags & BATCH_WRITE && (x->status == 'I' || flags & BATCH_UNCERTAIN);
	bool reads = c->demands || (c->home && c->home->cluster->keeps_reads);
	if (!wrote && !reads && !x->reloaded)
		return;
	double now = clock_now();
	if (wrote)
		note_write(x, now);
	if (reads)
		note_read(x, now);
	if (c->demands)
		follow_block(x);
	if (x->outstanding || x->status != 'I')
		return;
	x->reloaded = false;
	if (x->tables)
		*x->tables = (struct tables){0};
}

void demands_lost(struct exchange *x)
{
	bool wrote = x->open_flags & BATCH_WRITE;
	for (unsigned i = 0; i < x->outstanding; i++)
		wrote |= x->flags[(x->first + i) % RELAY_PIPELINE] & BATCH_WRITE;
	if (wrote)
		note_write(x, clock_now());
	demands_end_block(x->client, false);
}

void demands_end_block(struct client *c, bool committed)
{
	struct demands *d = c->demands;
	if (!d || !d->in_block)
		return;
	if (!committed)
		d->session = d->before;
	d->local = (struct need){0};
	d->in_block = false;
}
