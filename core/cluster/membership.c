/* membership.c - see membership.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/membership.h"

#include "cluster/conninfo.h"
#include "cluster/dispatch.h"
#include "cluster/probe.h"
#include "cluster/statistics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool endpoint_is(const struct endpoint *e, const struct endpoint_config *config)
{
	char wrong[200];
	if (config->name && strcmp(e->name, config->name) != 0)
		return false;
	struct conninfo *info =
	        conninfo_parse_at(config->url, config->host, config->port, wrong, sizeof wrong);
	bool same = info && conninfo_equal(e->conninfo, info);
	conninfo_free(info);
	return same;
}

static struct endpoint *find_absent(const struct cluster *c, const struct endpoint_config *config)
{
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (c->endpoints[i]->absent && endpoint_is(c->endpoints[i], config))
			return c->endpoints[i];
	return NULL;
}

/* Nothing is known of it any more. */
static void reset(struct endpoint *e, enum role role)
{
	e->role = role;
	e->configured = role == ROLE_PRIMARY;
	e->fresh_as_of = role == ROLE_PRIMARY ? INFINITY : -INFINITY;
	e->standing = STANDING_FINE;
	e->timeline = 0;
	e->system = 0;
	e->started = 0;
	e->position = 0;
	e->incarnation++;
	e->awaited = e->refuses = e->read_only = false;
	e->last_error[0] = '\0';
	e->health = (struct health){0};
	breaker_reset(&e->breaker);
}

/* Nobody waits for it, or has something of it. */
static bool is_unused(const struct endpoint *e)
{
	if (!e->absent || e->in_flight || e->waiting || e == e->cluster->primary)
		return false;
	LIST_EACH (&e->cluster->parked, link)
		if (LIST_ENTRY(link, struct dispatch, parked)->endpoint == e)
			return false;
	return true;
}

/* `*before` is who has it yet; NULL: nobody. */
static size_t find_place(const struct cluster *c, struct endpoint **before)
{
	*before = NULL;
	if (c->endpoint_count < CLUSTER_ENDPOINTS)
		return c->endpoint_count;
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (is_unused(c->endpoints[i])) {
			*before = c->endpoints[i];
			return i;
		}
	return CLUSTER_ENDPOINTS;
}

static struct endpoint *make(struct cluster *c, const struct endpoint_config *config, char *error,
                             size_t error_size)
{
	struct endpoint *before;
	size_t place = find_place(c, &before);
	if (place == CLUSTER_ENDPOINTS) {
		snprintf(error, error_size, "a cluster has at most %d endpoints",
		         CLUSTER_ENDPOINTS);
		return NULL;
	}
	struct endpoint *e = endpoint_new(c, place, config, error, error_size);
	if (!e)
		return NULL;
	if (before) {
		endpoint_free(before);
		statistics_forget(c->statistics, e->index);
	} else {
		c->endpoint_count++;
	}
	c->endpoints[place] = e;
	return e;
}

struct endpoint *cluster_join(struct cluster *c, const struct endpoint_config *config, char *error,
                              size_t error_size)
{
	struct endpoint *e = find_absent(c, config);
	if (e) {
		reset(e, config->role);
		e->weight = config->weight;
		e->absent = false;
		e->drained = e->ordered_out;
	} else {
		e = make(c, config, error, error_size);
	}
	return e;
}

void endpoint_leave(struct endpoint *e)
{
	if (e->absent)
		return;
	log_info(&e->cluster->context->log, "endpoint removed", LOG_T("endpoint", e->name),
	         LOG_N("in_flight", e->in_flight));
	e->absent = e->drained = true;
	probe_retire(e->probe);
	reset(e, ROLE_UNKNOWN);
	endpoint_trim(e);
}

size_t cluster_present(const struct cluster *c)
{
	size_t count = 0;
	for (size_t i = 0; i < c->endpoint_count; i++)
		count += !c->endpoints[i]->absent;
	return count;
}

void endpoint_presume(struct endpoint *e, enum role role)
{
	e->configured = role == ROLE_PRIMARY;
	if (e->timeline != 0 || e->role == role)
		return;
	e->role = role;
	e->fresh_as_of = role == ROLE_PRIMARY ? INFINITY : -INFINITY;
}

void membership_settle(struct cluster *c)
{
	routes_name_endpoints(c->routes);
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (!c->endpoints[i]->absent)
			probe_start(c->endpoints[i]->probe);
	cluster_review(c);
	if (!list_empty(&c->parked))
		dispatch_wake(c);
}
