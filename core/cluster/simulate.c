/* simulate.c - see simulate.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/simulate.h"

#include "base/clock.h"
#include "base/plain.h"
#include "cluster/cluster.h"
#include "cluster/probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALWAYS 1e9 /* s from now: fresher than anybody can ask for */

static const char words[] = "up, down, drained, undrained, primary, replica, read_only, lag=S, "
                            "staleness=S, latency=S, lag_bytes=N, in_flight=N, waiting=N, weight=N";

static void set_role(struct endpoint *e, enum role role)
{
	e->role = role;
	e->fresh_as_of = role == ROLE_PRIMARY ? INFINITY : clock_now() + ALWAYS;
	e->lag = 0;
	e->lag_bytes = 0;
}

/* As PostgreSQL does it: on a new timeline, which the replicas follow, and the old primary does
 * not.
 */
static void promote(struct endpoint *e)
{
	const struct cluster *c = e->cluster;
	uint32_t newest = e->timeline;
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (c->endpoints[i]->timeline > newest)
			newest = c->endpoints[i]->timeline;
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (c->endpoints[i] == e || c->endpoints[i]->role == ROLE_REPLICA)
			c->endpoints[i]->timeline = newest + 1;
	set_role(e, ROLE_PRIMARY);
}

static void set_state(struct endpoint *e, bool up)
{
	e->health = (struct health){.state = up ? HEALTH_UP : HEALTH_DOWN,
	                            .failures = up ? 0 : 1,
	                            .changed = clock_now(),
	                            .next = INFINITY};
	snprintf(e->last_error, sizeof e->last_error, "%s", up ? "" : "simulated");
}

static void set_staleness(struct endpoint *e, double seconds)
{
	if (e->role != ROLE_PRIMARY)
		e->fresh_as_of = seconds > 0 ? clock_now() - seconds : clock_now() + ALWAYS;
}

static bool take_word(struct endpoint *e, const char *what)
{
	if (strcmp(what, "up") == 0 || strcmp(what, "down") == 0)
		set_state(e, *what == 'u');
	else if (strcmp(what, "drained") == 0 || strcmp(what, "undrained") == 0)
		e->drained = *what == 'd';
	else if (strcmp(what, "primary") == 0)
		promote(e);
	else if (strcmp(what, "replica") == 0)
		set_role(e, ROLE_REPLICA);
	else if (strcmp(what, "read_only") == 0)
		e->read_only = true;
	else
		return false;
	return true;
}

static bool is(const char *what, size_t size, const char *name)
{
	return size == strlen(name) && memcmp(what, name, size) == 0;
}

static bool take_value(struct endpoint *e, const char *what, size_t size, double value)
{
	if (is(what, size, "lag")) {
		e->lag = value;
		set_staleness(e, value);
	} else if (is(what, size, "staleness")) {
		set_staleness(e, value);
	} else if (is(what, size, "latency")) {
		e->latency = value;
	} else if (is(what, size, "lag_bytes")) {
		e->lag_bytes = (uint64_t)value;
	} else if (is(what, size, "in_flight")) {
		e->in_flight = (unsigned)value;
	} else if (is(what, size, "waiting")) {
		e->waiting = (unsigned)value;
	} else if (is(what, size, "weight")) {
		e->weight = value;
	} else {
		return false;
	}
	return true;
}

static bool take_assignment(struct endpoint *e, const char *what)
{
	const char *equals = strchr(what, '=');
	char *end;
	if (!equals)
		return false;
	double value = plain_number(equals + 1, &end);
	return end != equals + 1 && *end == '\0' && value >= 0 && value <= 1e9 &&
	       take_value(e, what, (size_t)(equals - what), value);
}

/* What is only imagined is no news for the log. */
static void review(struct cluster *c)
{
	struct log *log = &c->context->log;
	enum log_level level = log->level;
	log->level = LOG_OFF;
	cluster_review(c);
	log->level = level;
}

void cluster_simulate(struct cluster *c)
{
	for (size_t i = 0; i < c->endpoint_count; i++) {
		struct endpoint *e = c->endpoints[i];
		probe_retire(e->probe);
		e->awaited = false;
		e->timeline = 1;
		set_state(e, true);
		set_role(e, e->role == ROLE_PRIMARY ? ROLE_PRIMARY : ROLE_REPLICA);
	}
	review(c);
}

/* All that cluster_simulate() changes of an endpoint, beside what cluster_review() finds anew; and
 * what a policy may do to one while it is tried. */
struct known {
	enum role role;
	bool awaited, drained, ordered_out;
	uint32_t timeline;
	struct health health;
	double lag, fresh_as_of;
	uint64_t lag_bytes;
	char last_error[sizeof((struct endpoint *)0)->last_error];
};

struct simulation {
	uint64_t system;
	size_t count;
	struct known known[];
};

static struct known known_of(const struct endpoint *e)
{
	struct known k = {.role = e->role,
	                  .awaited = e->awaited,
	                  .drained = e->drained,
	                  .ordered_out = e->ordered_out,
	                  .timeline = e->timeline,
	                  .health = e->health,
	                  .lag = e->lag,
	                  .fresh_as_of = e->fresh_as_of,
	                  .lag_bytes = e->lag_bytes};
	memcpy(k.last_error, e->last_error, sizeof k.last_error);
	return k;
}

static void put_back(struct endpoint *e, const struct known *k)
{
	e->role = k->role;
	e->awaited = k->awaited;
	e->drained = k->drained;
	e->ordered_out = k->ordered_out;
	e->timeline = k->timeline;
	e->health = k->health;
	e->lag = k->lag;
	e->fresh_as_of = k->fresh_as_of;
	e->lag_bytes = k->lag_bytes;
	memcpy(e->last_error, k->last_error, sizeof e->last_error);
}

struct simulation *cluster_simulate_begin(struct cluster *c)
{
	size_t count = c->endpoint_count;
	struct simulation *s = calloc(1, sizeof *s + count * sizeof *s->known);
	if (!s)
		return NULL;
	s->system = c->system;
	s->count = count;
	for (size_t i = 0; i < count; i++)
		s->known[i] = known_of(c->endpoints[i]);
	c->reviewed = false; /* nothing of it is news */
	cluster_simulate(c);
	return s;
}

void cluster_simulate_end(struct cluster *c, struct simulation *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++)
		put_back(c->endpoints[i], &s->known[i]);
	c->system = s->system;
	c->reviewed = false;
	cluster_review(c);
	free(s);
}

bool endpoint_simulate(struct endpoint *e, const char *what, char *wrong, size_t wrong_size)
{
	if (!take_word(e, what) && !take_assignment(e, what)) {
		snprintf(wrong, wrong_size, "\"%s\" is none of: %s", what, words);
		return false;
	}
	review(e->cluster);
	return true;
}
