/* chase.c - see chase.h. `cluster->wanted` is the moment that replicas have to catch up with. */
/* SPDX-License-Identifier: MIT */
#include "cluster/chase.h"

#include "cluster/cluster.h"
#include "cluster/probe.h"
#include "cluster/scopes.h"

#include <math.h>

static double last_told(const struct freshness *f)
{
	return f->count ? f->samples[f->count - 1].sent : -INFINITY;
}

static bool is_behind(const struct endpoint *e)
{
	return e->role == ROLE_REPLICA && e->fresh_as_of < e->cluster->wanted;
}

/* What replicas are compared with. */
static void ask_primary(struct cluster *c, double pause)
{
	const struct endpoint *primary = cluster_primary(c);
	if (primary)
		probe_soon(primary->probe, pause);
}

void chase_primary(struct cluster *c)
{
	const struct freshness *f = &c->freshness;
	bool waited = !list_empty(&c->parked);
	if (last_told(f) < c->wanted)
		ask_primary(c, waited ? CHASE_WAITED : CHASE_STEADY);
	for (size_t i = 0; i < c->endpoint_count; i++) {
		struct endpoint *e = c->endpoints[i];
		if (!is_behind(e))
			continue;
		e->fresh_as_of = freshness_of(f, e->timeline, e->position, e->fresh_as_of);
		if (e->chase <= 0)
			e->chase = CHASE_FIRST;
		if (is_behind(e))
			probe_soon(e->probe, e->chase);
	}
}

void chase_replica(struct endpoint *e, double before, double now)
{
	struct cluster *c = e->cluster;
	if (!is_behind(e)) {
		e->chase = 0;
		return;
	}
	if (e->chase <= 0)
		return; /* the primary is being asked */
	double most = fmax(CHASE_LAST, (now - c->wanted) / 4);
	e->chase = e->fresh_as_of > before ? CHASE_STEADY : fmin(2 * e->chase, most);
	if (!list_empty(&c->parked))
		e->chase = fmin(e->chase, CHASE_WAITED);
	probe_soon(e->probe, e->chase);
}

bool chase_may_return(const struct cluster *c, double last_write)
{
	double needed = fmax(last_write, last_told(&c->freshness));
	for (size_t i = 0; i < c->endpoint_count; i++) {
		const struct endpoint *e = c->endpoints[i];
		if (e->role == ROLE_REPLICA && e->standing == STANDING_FINE && !e->drained &&
		    health_usable(&e->health) && isfinite(e->fresh_as_of) &&
		    e->fresh_as_of >= needed)
			return true;
	}
	return false;
}

void cluster_wrote(struct cluster *c, const struct party *who, double now)
{
	if (c->scopes)
		scopes_note(c->writes, c->scopes, who, now);
	c->wanted = now;
	if (c->endpoint_count > 1)
		ask_primary(c, CHASE_STEADY);
}

void cluster_want(struct cluster *c, double moment)
{
	c->wanted = fmax(c->wanted, moment);
	if (last_told(&c->freshness) < moment)
		ask_primary(c, CHASE_WAITED);
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (is_behind(c->endpoints[i]))
			probe_soon(c->endpoints[i]->probe, CHASE_WAITED);
}

bool cluster_position(const struct cluster *c, double moment, struct position *position)
{
	const struct freshness *f = &c->freshness;
	for (unsigned i = 0; i < f->count; i++)
		if (f->samples[i].sent >= moment) {
			*position = (struct position){f->timeline, f->samples[i].position};
			return true;
		}
	return false;
}

double cluster_last_write(const struct cluster *c, const struct route *route,
                          const struct party *who, double own)
{
	enum scope scope = route_config(route)->scope;
	if (scope == SCOPE_SESSION)
		return own;
	double last = scopes_last(c->writes, scope, who);
	return scope == SCOPE_KEY ? last : fmax(own, last);
}
