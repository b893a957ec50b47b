/* route_consider.c - see route_consider.h.
 *
 * Goes through the same steps as route_pick(), with the same predicates, and tells for each
 * endpoint which of them has left it out. */
/* SPDX-License-Identifier: MIT */
#include "cluster/route_consider.h"

#include "base/plain.h"
#include "cluster/route_parts.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WHY 400 /* bytes: an endpoint's last error and some words */

/* By which step of route_pick() an endpoint was found. */
enum step { STEP_PRIMARY, STEP_CHOICE, STEP_FALLBACK, STEP_UNHEEDED };

struct considering {
	struct route *route;
	const struct demand *demand;
	enum step step;
	struct route_choices choices;
	char why[WHY];
};

/* Always true. */
__attribute__((format(printf, 2, 3))) static bool tell(struct considering *c, const char *format,
                                                       ...)
{
	va_list values;
	va_start(values, format);
	plain_vprint(c->why, sizeof c->why, format, values);
	va_end(values);
	return true;
}

static bool say_unusable(struct considering *c, const struct endpoint *e)
{
	if (!health_usable(&e->health))
		return tell(c, "%s%s%s", health_state_name(e->health.state),
		            *e->last_error ? ": " : "", e->last_error);
	if (e->drained)
		return tell(c, "drained");
	if (e->standing == STANDING_FOREIGN)
		return tell(c, "it belongs to another PostgreSQL system");
	if (c->demand->excluded >> e->index & 1)
		return tell(c, "tried already, in vain");
	return false;
}

/* Of one that is not in good standing. */
static const char *doubt(const struct endpoint *e)
{
	const struct endpoint *primary = cluster_primary(e->cluster);
	return primary && primary != e ? "on a timeline that was left"
	                               : "one of several primaries on one timeline";
}

static bool say_no_primary(struct considering *c, const struct endpoint *e, const char *wanted)
{
	const struct cluster *cluster = e->cluster;
	if (e != cluster_primary(cluster)) {
		if (e->standing == STANDING_DOUBTFUL)
			return tell(c, "%s", doubt(e));
		return tell(c, "%s, and %s",
		            e->role == ROLE_REPLICA ? "a replica" : "not a primary", wanted);
	}
	if (say_unusable(c, e))
		return true;
	const char *lack = cluster_lack(cluster);
	return tell(c, "%s", lack ? lack : "");
}

/* It is none of those that the route's `to` means. */
static void say_no_target(struct considering *c, const struct endpoint *e)
{
	const struct route_config *config = route_config(c->route);
	bool elsewhere = !e->region || !config->region || strcmp(e->region, config->region) != 0;
	if (config->to == TO_NAMED)
		tell(c, "the route names others");
	else if (config->to == TO_REGION && elsewhere)
		tell(c, "not in region %s", config->region);
	else if (config->to == TO_REPLICAS && e->role == ROLE_PRIMARY)
		tell(c, "a primary, and the route leads to replicas");
	else if (config->to == TO_REPLICAS && e->role == ROLE_UNKNOWN)
		tell(c, "not known to be a replica");
	else
		tell(c, "weight 0");
}

static const char *whose_writes(enum scope scope)
{
	static const char *const whose[] = {[SCOPE_SESSION] = "what the session wrote",
	                                    [SCOPE_USER] = "what its user wrote",
	                                    [SCOPE_TABLE] = "what was written to its tables",
	                                    [SCOPE_CLUSTER] = "what was written to the cluster",
	                                    [SCOPE_KEY] = "what was written under its key"};
	return whose[scope];
}

/* How long before `moment` the endpoint was last known to hold everything. */
static void say_stale(struct considering *c, const struct endpoint *e, double moment,
                      const char *behind)
{
	double seconds = moment - e->fresh_as_of;
	if (isinf(seconds))
		tell(c, "stale: not known to have %s", behind);
	else
		tell(c, "stale: %.3g s behind %s", seconds, behind);
}

static void say_unfresh(struct considering *c, const struct endpoint *e)
{
	static const struct need none;
	const struct route_config *config = route_config(c->route);
	const struct demand *d = c->demand;
	const struct need *need = d->need ? d->need : &none;
	enum consistency level = route_level(config, d);
	char position[POSITION_TEXT];
	if (e->standing == STANDING_DOUBTFUL) {
		tell(c, "%s", doubt(e));
	} else if (need->after.timeline &&
	           (e->timeline < need->after.timeline || e->position < need->after.lsn)) {
		position_write(need->after, position);
		tell(c, "stale: it has not reached %s", position);
	} else if (level == CONSISTENCY_BOUNDED) {
		double bound = need->bounded ? need->max_staleness : config->max_staleness;
		tell(c, "stale: %.3g s is over max_staleness %.3g s", endpoint_staleness(e, d->now),
		     bound);
	} else if (e->fresh_as_of < d->last_write) {
		say_stale(c, e, d->last_write, whose_writes(config->scope));
	} else {
		say_stale(c, e, need->last_read, "what the session has read");
	}
}

static const char *const balances[] = {[BALANCE_WEIGHTED] = "by weight",
                                       [BALANCE_ROUND_ROBIN] = "in turn, by weight",
                                       [BALANCE_LEAST_IN_FLIGHT] = "by queries under way",
                                       [BALANCE_LATENCY] = "by latency"};

/* One of several that will do, and what decides among them. */
static void say_choice(struct considering *c, size_t at, bool taken)
{
	const struct route_choices *all = &c->choices;
	const struct candidate *mine = &all->candidates[at];
	size_t count = all->preferred ? all->preferred : all->count;
	double total = 0;
	for (size_t i = 0; i < count; i++)
		total += all->candidates[i].weight;
	double share = total > 0 ? mine->weight / total : 1.0 / (double)count;
	enum balance balance = route_config(c->route)->balance;
	const char *other = taken ? "" : "would do as well: ";
	if (count == 1)
		tell(c, "the only one that will do");
	else if (share <= 0)
		tell(c, "weight 0");
	else if (balance == BALANCE_LEAST_IN_FLIGHT)
		tell(c, "%s%u under way, weight %.3g (%s)", other, mine->in_flight, mine->weight,
		     balances[balance]);
	else if (balance == BALANCE_LATENCY)
		tell(c, "%s%.3g ms, %u under way, weight %.3g (%s)", other, mine->latency * 1e3,
		     mine->in_flight, mine->weight, balances[balance]);
	else
		tell(c, "%sweight %.3g of %.3g, %.0f %% (%s)", other, mine->weight, total,
		     share * 100, balances[balance]);
}

static bool say_if_chosen(struct considering *c, const struct endpoint *e, bool taken)
{
	const struct route_choices *all = &c->choices;
	for (size_t i = 0; i < all->count; i++) {
		if (all->endpoints[i] != e)
			continue;
		if (all->preferred && i >= all->preferred)
			return tell(c, "another region is preferred: %s",
			            route_config(c->route)->prefer);
		say_choice(c, i, taken);
		return true;
	}
	return false;
}

/* Why it was left out, or stands among those that will do. */
static void say_of_candidate(struct considering *c, const struct endpoint *e, bool taken)
{
	const struct route_config *config = route_config(c->route);
	if (!route_targets(c->route, e))
		say_no_target(c, e);
	else if (say_unusable(c, e))
		return;
	else if (!route_fresh_enough(config, e, c->demand))
		say_unfresh(c, e);
	else if (config->max_lag > 0 && e->lag > config->max_lag)
		tell(c, "lag %.3g s is over max_lag %.3g s", e->lag, config->max_lag);
	else if (!say_if_chosen(c, e, taken))
		tell(c, "its breaker is open");
}

static void say(struct considering *c, const struct endpoint *e, bool taken)
{
	const struct route_config *config = route_config(c->route);
	if (c->step == STEP_PRIMARY && taken)
		tell(c, "%s",
		     config->to == TO_PRIMARY ? "the primary, where the route leads"
		                              : "consistency strong: the primary");
	else if (c->step == STEP_PRIMARY)
		say_no_primary(c, e,
		               config->to == TO_PRIMARY ? "the route leads to the primary"
		                                        : "consistency is strong");
	else if (c->step == STEP_FALLBACK && taken && config->wait_fresh > 0)
		tell(c, "the fallback: nothing else will do, even after wait_fresh, %.3g ms",
		     config->wait_fresh * 1000);
	else if (c->step == STEP_FALLBACK && taken)
		tell(c, "the fallback: nothing else will do");
	else if (c->step == STEP_UNHEEDED && taken)
		tell(c, "its breaker is open, but nothing else will do");
	else
		say_of_candidate(c, e, taken);
}

static enum step step_of(struct considering *c, const struct endpoint *taken)
{
	if (route_wants_primary(route_config(c->route), c->demand))
		return STEP_PRIMARY;
	route_collect(c->route, c->demand, true, &c->choices);
	if (c->choices.count)
		return STEP_CHOICE;
	bool fallback = route_config(c->route)->fallback_primary &&
	                taken == cluster_primary(c->route->cluster);
	return fallback ? STEP_FALLBACK : STEP_UNHEEDED;
}

void route_consider(struct route *route, const struct demand *demand, const struct endpoint *taken,
                    route_considered_fn *fn, void *arg)
{
	struct considering c = {.route = route, .demand = demand};
	const struct cluster *cluster = route->cluster;
	c.step = step_of(&c, taken);
	for (size_t i = 0; i < cluster->endpoint_count; i++) {
		const struct endpoint *e = cluster->endpoints[i];
		if (e->absent)
			continue;
		say(&c, e, e == taken);
		fn(e, e == taken, c.why, arg);
	}
}

void endpoint_consider(const struct endpoint *named, const struct demand *demand,
                       const struct endpoint *taken, route_considered_fn *fn, void *arg)
{
	struct considering c = {.demand = demand};
	const struct cluster *cluster = named->cluster;
	for (size_t i = 0; i < cluster->endpoint_count; i++) {
		const struct endpoint *e = cluster->endpoints[i];
		if (e->absent)
			continue;
		if (e == named && e == taken)
			tell(&c, "the policy names it");
		else if (e == taken)
			tell(&c, "the primary: what the policy names is not fresh enough");
		else if (e != named)
			tell(&c, "the policy names another");
		else if (!say_unusable(&c, e))
			tell(&c, "not as fresh as the statement asks for");
		fn(e, e == taken, c.why, arg);
	}
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Lists of names, each with its NUL. */
static bool same_names(const char *a, const char *b)
{
	while (a && b && *a && strcmp(a, b) == 0) {
		a += strlen(a) + 1;
		b += strlen(b) + 1;
	}
	return a && b ? *a == *b && !*a : a == b;
}

bool route_leads_alike(const struct route *one, const struct route *other)
{
	const struct route_config *a = route_config(one), *b = route_config(other);
	if (a->to != b->to || a->to == TO_PRIMARY)
		return a->to == b->to;
	return same_names(a->names, b->names) && same_text(a->region, b->region) &&
	       same_text(a->prefer, b->prefer) && a->consistency == b->consistency &&
	       a->scope == b->scope && a->max_staleness == b->max_staleness &&
	       a->max_lag == b->max_lag && a->fallback_primary == b->fallback_primary;
}
