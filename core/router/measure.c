/* measure.c - see measure.h. */
/* SPDX-License-Identifier: MIT */
#include "router/measure.h"

#include "cluster/statistics.h"
#include "router/relay.h"

#include <string.h>

static struct measure *at(struct exchange *x, unsigned i)
{
	return &x->measures[(x->first + i) % RELAY_PIPELINE];
}

/* When the loop woke up for what is being done: a clock is read once for all of a turn, not for
 * each query. What a turn takes is part of either the time of this query or of the next. */
static double time_of(const struct exchange *x)
{
	return x->client->worker->now;
}

/* Of the batch that the server answers now. */
static struct measure *current(struct exchange *x)
{
	return x->outstanding ? at(x, 0) : &x->measuring;
}

void measure_sent(struct exchange *x, const struct batch *b)
{
	struct measure *m = &x->measuring;
	if (!m->known && b->statements)
		*m = (struct measure){
		        .fingerprint = b->fingerprint, .kind = (uint8_t)b->kind, .known = true};
	if (!m->known || m->runs)
		return;
	m->runs = !b->extended || b->executes;
	m->since = time_of(x);
}

void measure_again(struct exchange *x)
{
	struct measure *m = current(x);
	m->since = time_of(x);
	m->rows = 0;
	m->failed = false;
}

void measure_error(struct exchange *x)
{
	current(x)->failed = true;
}

/* Only tags of commands that return or change rows end with a number. */
void measure_rows(struct exchange *x, const uint8_t *body, size_t size)
{
	uint64_t rows = 0, unit = 1;
	for (size_t i = size ? size - 1 : 0; i > 0 && body[i - 1] >= '0' && body[i - 1] <= '9';
	     i--) {
		rows += unit * (uint64_t)(body[i - 1] - '0');
		unit *= 10;
	}
	current(x)->rows += rows;
}

static void record(const struct exchange *x, const struct measure *m, double now)
{
	const struct client *c = x->client;
	const struct endpoint *e = x->server ? x->server->endpoint : NULL;
	const struct cluster *cluster = e ? e->cluster : c->home ? c->home->cluster : NULL;
	double since = m->since > x->measured ? m->since : x->measured;
	const struct sample sample = {.fingerprint = m->fingerprint,
	                              .kind = (enum sql_kind)m->kind,
	                              .endpoint = e ? e->index : CLUSTER_ENDPOINTS,
	                              .seconds = now - since,
	                              .rows = m->rows,
	                              .failed = m->failed};
	if (cluster)
		statistics_record(cluster->statistics, &sample);
}

void measure_answered(struct exchange *x)
{
	const struct measure *m = current(x);
	if (!m->runs)
		return;
	double now = time_of(x);
	record(x, m, now);
	x->measured = now;
}

static void fail(struct exchange *x, struct measure *m, double now)
{
	m->failed = true;
	if (m->runs)
		record(x, m, now);
}

void measure_lost(struct exchange *x)
{
	double now = time_of(x);
	for (unsigned i = 0; i < x->outstanding; i++)
		fail(x, at(x, i), now);
	fail(x, &x->measuring, now);
	x->measuring = (struct measure){0};
}
