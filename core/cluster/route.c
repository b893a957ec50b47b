/* route.c - see route.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/route.h"

#include "cluster/probe.h"
#include "cluster/route_parts.h"
#include "cluster/scopes.h"
#include "cluster/writes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *text, bool *failed)
{
	char *made = text ? strdup(text) : NULL;
	*failed |= text && !made;
	return made;
}

static const char *target_name(const struct route_config *config, char *space, size_t size)
{
	switch (config->to) {
	case TO_PRIMARY:
		return "primary";
	case TO_REPLICAS:
		return "replicas";
	case TO_ANY:
		return "any";
	case TO_NAMED:
		return "named";
	case TO_REGION:
		break;
	}
	snprintf(space, size, "region %s", config->region);
	return space;
}

static size_t names_size(const char *names)
{
	const char *end = names;
	while (*end)
		end += strlen(end) + 1;
	return (size_t)(end - names) + 1;
}

static char *copy_names(const char *names, bool *failed)
{
	if (!names)
		return NULL;
	size_t size = names_size(names);
	char *made = malloc(size);
	*failed |= !made;
	return made ? memcpy(made, names, size) : NULL;
}

static void weigh_endpoints(struct route *r)
{
	for (size_t i = 0; i < CLUSTER_ENDPOINTS; i++)
		r->weighs[i] = -1;
	for (size_t i = 0; i < r->config.weight_count; i++) {
		const struct endpoint *e = cluster_endpoint(r->cluster, r->weights[i].endpoint);
		if (e)
			r->weighs[e->index] = r->weights[i].weight;
	}
}

static void name_endpoints(struct route *r)
{
	weigh_endpoints(r);
	if (!r->names)
		return;
	r->config.named = 0;
	for (const char *name = r->names; *name; name += strlen(name) + 1) {
		const struct endpoint *e = cluster_endpoint(r->cluster, name);
		if (e)
			r->config.named |= UINT64_C(1) << e->index;
	}
}

void routes_name_endpoints(struct route *first)
{
	for (; first; first = first->next)
		name_endpoints(first);
}

static bool copy_weights(struct route *r, const struct route_config *config)
{
	bool failed = false;
	if (config->weight_count == 0)
		return true;
	r->weights = calloc(config->weight_count, sizeof *r->weights);
	if (!r->weights) {
		r->config.weight_count = 0;
		return false;
	}
	for (size_t i = 0; i < config->weight_count; i++) {
		r->weights[i].weight = config->weights[i].weight;
		r->weights[i].endpoint = copy(config->weights[i].endpoint, &failed);
	}
	return !failed;
}

struct route *route_new(struct cluster *cluster, const struct route_config *config)
{
	char space[128];
	bool failed = false;
	struct route *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->cluster = cluster;
	r->config = *config;
	r->name = copy(config->name ? config->name : target_name(config, space, sizeof space),
	               &failed);
	r->region = copy(config->region, &failed);
	r->prefer = copy(config->prefer, &failed);
	failed |= !copy_weights(r, config);
	r->names = copy_names(config->names, &failed);
	if (failed) {
		route_free(r);
		return NULL;
	}
	if (config->scope != SCOPE_SESSION && !cluster->writes)
		cluster->writes = writes_new(SCOPES_KEYS);
	if (config->scope != SCOPE_SESSION && !cluster->writes) {
		route_free(r);
		return NULL;
	}
	cluster->scopes |= config->scope != SCOPE_SESSION ? 1u << config->scope : 0;
	cluster->keeps_reads |= config->consistency == CONSISTENCY_SESSION;
	r->config.name = r->name;
	r->config.region = r->region;
	r->config.prefer = r->prefer;
	r->config.names = r->names;
	r->config.weights = r->weights;
	name_endpoints(r);
	r->number = cluster->routes ? cluster->routes->number + 1 : 1;
	r->next = cluster->routes;
	cluster->routes = r;
	return r;
}

struct route *route_with(const struct route *r, double timeout, struct route *mirror)
{
	struct route_config config = r->config;
	config.timeout = timeout > 0 ? timeout : config.timeout;
	config.mirror = mirror ? mirror : config.mirror;
	return route_new(r->cluster, &config);
}

void route_free(struct route *r)
{
	free(r->name);
	free(r->region);
	free(r->prefer);
	free(r->names);
	for (size_t i = 0; i < r->config.weight_count; i++)
		free((char *)r->weights[i].endpoint);
	free(r->weights);
	free(r);
}

void routes_free(struct route *first)
{
	while (first) {
		struct route *next = first->next;
		route_free(first);
		first = next;
	}
}

static bool same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

static double weight_in(const struct route *r, const struct endpoint *e)
{
	return r->weighs[e->index] >= 0 ? r->weighs[e->index] : e->weight;
}

bool route_targets(const struct route *r, const struct endpoint *e)
{
	const struct route_config *c = &r->config;
	switch (c->to) {
	case TO_PRIMARY:
		return e->role == ROLE_PRIMARY;
	case TO_REPLICAS:
		return e->role == ROLE_REPLICA && weight_in(r, e) > 0;
	case TO_ANY:
		return weight_in(r, e) > 0;
	case TO_NAMED:
		return c->named >> e->index & 1;
	case TO_REGION:
		return same(c->region, e->region) && weight_in(r, e) > 0;
	}
	return false;
}

static struct replica replica_of(const struct endpoint *e)
{
	return (struct replica){.fresh_as_of = e->fresh_as_of,
	                        .timeline = e->timeline,
	                        .lsn = e->position,
	                        .index = e->index,
	                        .incarnation = e->incarnation};
}

enum consistency route_level(const struct route_config *c, const struct demand *d)
{
	return d->need && d->need->leveled ? d->need->level : c->consistency;
}

bool route_fresh_enough(const struct route_config *c, const struct endpoint *e,
                        const struct demand *d)
{
	static const struct need none;
	if (e->standing != STANDING_FINE)
		return route_level(c, d) == CONSISTENCY_EVENTUAL &&
		       !(d->need && d->need->after.timeline);
	if (e->role == ROLE_PRIMARY)
		return true;
	const struct need *need = d->need ? d->need : &none;
	const struct replica replica = replica_of(e);
	return need_met(need, route_level(c, d),
	                need->bounded ? need->max_staleness : c->max_staleness, d->last_write,
	                d->now, &replica);
}

bool endpoint_meets(const struct endpoint *e, const struct demand *d)
{
	static const struct route_config undemanding = {.consistency = CONSISTENCY_EVENTUAL};
	return route_fresh_enough(&undemanding, e, d);
}

static bool suits(const struct route *r, const struct endpoint *e, const struct demand *d)
{
	const struct route_config *c = &r->config;
	return route_targets(r, e) && route_fresh_enough(c, e, d) &&
	       (c->max_lag <= 0 || e->lag <= c->max_lag);
}

bool route_usable(const struct endpoint *e, const struct demand *d)
{
	return health_usable(&e->health) && !e->drained && e->standing != STANDING_FOREIGN &&
	       !(d->excluded >> e->index & 1);
}

static void swap_choices(struct route_choices *c, size_t a, size_t b)
{
	struct candidate candidate = c->candidates[a];
	struct endpoint *endpoint = c->endpoints[a];
	c->candidates[a] = c->candidates[b];
	c->endpoints[a] = c->endpoints[b];
	c->candidates[b] = candidate;
	c->endpoints[b] = endpoint;
}

static void add_choice(struct route_choices *c, struct route *r, struct endpoint *e, double now)
{
	c->candidates[c->count] = (struct candidate){
	        .weight = weight_in(r, e) * health_share(&e->health, &r->cluster->health, now),
	        .latency = e->latency,
	        .in_flight = e->in_flight + e->waiting,
	        .credit = &r->credit[e->index],
	};
	c->endpoints[c->count] = e;
	if (same(r->config.prefer, e->region))
		swap_choices(c, c->count, c->preferred++);
	c->count++;
}

void route_collect(struct route *r, const struct demand *d, bool heeding, struct route_choices *c)
{
	struct cluster *cluster = r->cluster;
	c->count = c->preferred = 0;
	c->stale = false;
	for (size_t i = 0; i < cluster->endpoint_count; i++) {
		struct endpoint *e = cluster->endpoints[i];
		if (!route_targets(r, e))
			continue;
		if (!route_usable(e, d))
			probe_demand(e);
		else if (!suits(r, e, d))
			c->stale = c->stale || e->standing == STANDING_FINE;
		else if (!heeding || breaker_allows(&e->breaker, &cluster->breaker, d->now))
			add_choice(c, r, e, d->now);
	}
}

bool route_is_served(const struct cluster *c, bool to_read)
{
	return c->topology == TOPOLOGY_PRIMARY || (to_read && c->topology == TOPOLOGY_READ_ONLY);
}

/* Whichever endpoint has failed may have become the primary meanwhile. */
static void demand_all(struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->endpoint_count; i++)
		probe_demand(cluster->endpoints[i]);
}

static struct endpoint *pick_primary(struct cluster *cluster, const struct demand *d, bool to_read)
{
	struct endpoint *primary = cluster_primary(cluster);
	if (primary && route_usable(primary, d) && route_is_served(cluster, to_read))
		return primary;
	demand_all(cluster);
	return NULL;
}

bool route_wants_primary(const struct route_config *c, const struct demand *d)
{
	return c->to == TO_PRIMARY || route_level(c, d) == CONSISTENCY_STRONG;
}

static struct endpoint *pick_choice(struct route *r, const struct route_choices *c)
{
	size_t count = c->preferred ? c->preferred : c->count;
	return c->endpoints[balance_pick(r->config.balance, c->candidates, count,
	                                 &r->cluster->context->random)];
}

static void choose_only(struct route_choices *c, struct endpoint *e)
{
	c->count = e != NULL;
	c->preferred = 0;
	c->endpoints[0] = e;
}

/* An endpoint whose traffic fails is left out while another will do, but is better than none. */
static void find_choices(struct route *r, const struct demand *d, struct route_choices *c)
{
	if (route_wants_primary(&r->config, d)) {
		choose_only(c, pick_primary(r->cluster, d, r->config.to != TO_PRIMARY));
		return;
	}
	route_collect(r, d, true, c);
	if (c->count || (c->stale && d->patient))
		return;
	if (r->config.fallback_primary)
		choose_only(c, pick_primary(r->cluster, d, true));
	if (c->count == 0)
		route_collect(r, d, false, c);
}

struct endpoint *route_pick(struct route *r, const struct demand *d)
{
	struct route_choices c;
	find_choices(r, d, &c);
	return c.count ? pick_choice(r, &c) : NULL;
}

uint64_t route_candidates(struct route *r, const struct demand *d)
{
	struct route_choices c;
	uint64_t set = 0;
	find_choices(r, d, &c);
	size_t count = c.preferred ? c.preferred : c.count;
	for (size_t i = 0; i < count; i++)
		set |= UINT64_C(1) << c.endpoints[i]->index;
	return set;
}

bool route_needs_primary(const struct route *r, const struct demand *d)
{
	return route_wants_primary(&r->config, d) || r->config.fallback_primary;
}

bool route_accepts(const struct route *r, const struct endpoint *e, const struct demand *d)
{
	if (!route_usable(e, d))
		return false;
	if (route_wants_primary(&r->config, d))
		return e == cluster_primary(r->cluster) &&
		       route_is_served(r->cluster, r->config.to != TO_PRIMARY);
	return suits(r, e, d);
}

unsigned route_number(const struct route *r)
{
	return r->number;
}

const struct route *cluster_route(const struct cluster *cluster, unsigned number)
{
	const struct route *r = cluster->routes;
	while (r && r->number != number)
		r = r->next;
	return r;
}

const char *route_name(const struct route *r)
{
	return r->name;
}

const struct route_config *route_config(const struct route *r)
{
	return &r->config;
}
