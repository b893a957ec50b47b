/* roles.c - applies what topology.h finds to a cluster, and tells of it. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "cluster/cluster.h"
#include "cluster/probe.h"

#include <stdio.h>

#define SEARCH_FOR    60.0 /* s after the primary was last well, unless somebody waits for one */
#define COMPLAIN_EACH 10.0 /* s between two lines about a split that lasts */

static const struct log *log_of(const struct cluster *c)
{
	return &c->context->log;
}

static struct member member_of(const struct endpoint *e)
{
	return (struct member){.role = e->role,
	                       .configured = e->configured,
	                       .awaited = e->awaited,
	                       .failed = e->health.failures > 0,
	                       .usable = health_usable(&e->health),
	                       .read_only = e->read_only,
	                       .timeline = e->timeline,
	                       .system = e->system};
}

static enum standing standing_of(const struct topology *t, size_t i)
{
	if (t->foreign >> i & 1)
		return STANDING_FOREIGN;
	return (t->outdated | t->rivals) >> i & 1 ? STANDING_DOUBTFUL : STANDING_FINE;
}

static void tell_doubt(const struct endpoint *e, uint32_t newest)
{
	const char *what = e->timeline == newest ? "not the only primary on its timeline"
	                   : e->role == ROLE_PRIMARY
	                           ? "an old primary, on a timeline that was left: ignored"
	                           : "the replica follows a timeline that was left: nothing but "
	                             "eventual reads";
	log_warn(log_of(e->cluster), what, LOG_T("endpoint", e->name),
	         LOG_N("timeline", e->timeline), LOG_N("newest", newest));
}

static void set_standing(struct endpoint *e, enum standing standing, uint32_t newest)
{
	if (e->standing == standing)
		return;
	e->standing = standing;
	if (standing == STANDING_FOREIGN)
		log_error(log_of(e->cluster),
		          "the endpoint belongs to another PostgreSQL system; it is not used",
		          LOG_T("endpoint", e->name));
	else if (standing == STANDING_DOUBTFUL)
		tell_doubt(e, newest);
	else
		log_info(log_of(e->cluster), "the endpoint is of the cluster again",
		         LOG_T("endpoint", e->name), LOG_N("timeline", e->timeline));
}

static void tell_split(struct cluster *c, const struct topology *t, double now)
{
	char names[512] = "";
	size_t used = 0;
	if (c->topology == TOPOLOGY_SPLIT && now - c->complained < COMPLAIN_EACH)
		return;
	c->complained = now;
	for (size_t i = 0; i < c->endpoint_count && used < sizeof names; i++)
		if (t->rivals >> i & 1)
			used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
			                         used ? " " : "", c->endpoints[i]->name);
	log_error(log_of(c),
	          "several primaries on one timeline: writes are refused until one is left",
	          LOG_T("endpoints", names), LOG_N("timeline", t->timeline));
}

static void tell_state(struct cluster *c, const struct topology *t, double now)
{
	if (t->state == TOPOLOGY_SPLIT) {
		tell_split(c, t, now);
		return;
	}
	if (t->primary == TOPOLOGY_NOBODY) {
		if (c->primary || c->topology != t->state)
			log_warn(log_of(c), "no primary",
			         LOG_T("reason", topology_reason(t->state)));
		return;
	}
	const struct endpoint *primary = c->endpoints[t->primary];
	const struct log_field name = LOG_T("endpoint", primary->name),
	                       timeline = LOG_N("timeline", primary->timeline);
	if (primary != c->primary && t->state == TOPOLOGY_PRIMARY)
		log_warn(log_of(c), "writes go to another primary", name, timeline);
	else if (t->state == TOPOLOGY_READ_ONLY && c->topology != t->state)
		log_warn(log_of(c), "the primary is read-only: writes wait", name, timeline);
	else if (t->state == TOPOLOGY_PRIMARY && c->topology == TOPOLOGY_READ_ONLY)
		log_info(log_of(c), "the primary takes writes again", name, timeline);
}

static bool is_well(const struct cluster *c)
{
	const struct endpoint *primary = c->primary;
	if (!primary || primary->health.failures > 0)
		return false;
	return c->topology == TOPOLOGY_STARTING ||
	       (c->topology == TOPOLOGY_PRIMARY && !primary->drained &&
	        health_usable(&primary->health));
}

static void look_after_primary(struct cluster *c, double now)
{
	bool suspect = !is_well(c);
	if (suspect == c->suspect || c->loose)
		return;
	c->suspect = suspect;
	c->suspected = now;
	for (size_t i = 0; suspect && i < c->endpoint_count; i++)
		probe_reschedule(c->endpoints[i]->probe);
}

void cluster_review(struct cluster *c)
{
	struct member members[CLUSTER_ENDPOINTS];
	double now = clock_now();
	if (c->over)
		return;
	for (size_t i = 0; i < c->endpoint_count; i++)
		members[i] = member_of(c->endpoints[i]);
	struct topology t = topology_of(members, c->endpoint_count, c->system);
	for (size_t i = 0; i < c->endpoint_count; i++)
		set_standing(c->endpoints[i], standing_of(&t, i), t.timeline);
	if (c->reviewed && !c->loose)
		tell_state(c, &t, now);
	c->reviewed = true;
	c->system = t.system;
	c->topology = t.state;
	c->primary = t.primary == TOPOLOGY_NOBODY ? NULL : c->endpoints[t.primary];
	look_after_primary(c, now);
	news_note(c);
}

bool cluster_searches(const struct cluster *c, double now)
{
	return c->suspect && (now - c->suspected < SEARCH_FOR || !list_empty(&c->parked));
}

const char *cluster_lack(const struct cluster *c)
{
	if (c->topology == TOPOLOGY_PRIMARY && c->primary->drained)
		return "the primary is drained";
	return topology_reason(c->topology);
}

const char *cluster_refusal(const struct cluster *c)
{
	return c->topology == TOPOLOGY_SPLIT ? "there are several primaries on one timeline: "
	                                       "writes are refused until one is left"
	                                     : NULL;
}
