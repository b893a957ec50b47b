/* adopt.c - see adopt.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/adopt.h"

#include "base/clock.h"
#include "cluster/conninfo.h"
#include "cluster/membership.h"
#include "cluster/patroni.h"
#include "cluster/pool_state.h"
#include "cluster/probe.h"
#include "cluster/statistics.h"
#include "cluster/writes.h"

#include <math.h>
#include <string.h>

/* For each endpoint of the new cluster the one of the old that it stands for, or NULL. */
struct pairs {
	struct endpoint *old[CLUSTER_ENDPOINTS];
};

/* Of several that connect alike, the one of the same name is the one. */
static struct endpoint *find(const struct cluster *from, const struct endpoint *wanted,
                             uint64_t taken, bool by_name)
{
	for (size_t i = 0; i < from->endpoint_count; i++) {
		struct endpoint *e = from->endpoints[i];
		if (!e->absent && !(taken >> i & 1) &&
		    conninfo_equal(e->conninfo, wanted->conninfo) &&
		    (!by_name || strcmp(e->name, wanted->name) == 0))
			return e;
	}
	return NULL;
}

static void pair_up(const struct cluster *to, const struct cluster *from, struct pairs *pairs)
{
	uint64_t taken = 0;
	memset(pairs, 0, sizeof *pairs);
	for (int by_name = 1; by_name >= 0; by_name--)
		for (size_t i = 0; i < to->endpoint_count; i++) {
			if (pairs->old[i])
				continue;
			pairs->old[i] = find(from, to->endpoints[i], taken, by_name);
			if (pairs->old[i])
				taken |= UINT64_C(1) << pairs->old[i]->index;
		}
}

void cluster_adopt_cancel(struct cluster *to, struct cluster *from)
{
	for (size_t i = 0; i < from->endpoint_count; i++) {
		struct pool *pool, *next;
		HASH_ITER (hh, from->endpoints[i]->pools, pool, next)
			pool_leave(to, pool->next_quotas);
	}
}

enum status cluster_adopt_prepare(struct cluster *to, struct cluster *from)
{
	struct pairs pairs;
	if (patroni_inherit(to->patroni, from->patroni) != ST_OK)
		return ST_ENOMEM;
	pair_up(to, from, &pairs);
	for (size_t i = 0; i < to->endpoint_count; i++) {
		struct pool *pool, *next;
		if (!pairs.old[i])
			continue;
		HASH_ITER (hh, pairs.old[i]->pools, pool, next)
			if (!pool_join(pool, to, pool->next_quotas)) {
				cluster_adopt_cancel(to, from);
				return ST_ENOMEM;
			}
	}
	return ST_OK;
}

/* From the limits of the old cluster to those of the new one. */
static void move_pool(struct pool *pool, struct cluster *from)
{
	for (int i = 0; i < POOL_LIMITS; i++) {
		if (i == LIMIT_ENDPOINT)
			continue;
		pool->quotas[i]->used -= pool_servers(pool);
		pool->quotas[i]->idle -= pool->idle_count;
		pool->next_quotas[i]->used += pool_servers(pool);
		pool->next_quotas[i]->idle += pool->idle_count;
	}
	list_remove(&pool->blocked);
	pool_leave(from, pool->quotas);
	memcpy(pool->quotas, pool->next_quotas, sizeof pool->quotas);
	memset(pool->next_quotas, 0, sizeof pool->next_quotas);
}

static void swap_text(char **a, char **b)
{
	char *kept = *a;
	*a = *b;
	*b = kept;
}

/* `e` stands in the place of `made`, which has been configured like it, and goes. */
static void move_endpoint(struct endpoint *e, struct endpoint *made, struct cluster *to)
{
	struct cluster *from = e->cluster;
	struct pool *pool, *next;
	HASH_ITER (hh, e->pools, pool, next)
		move_pool(pool, from);
	from->endpoints[e->index] = NULL;
	swap_text(&e->name, &made->name);
	swap_text(&e->region, &made->region);
	e->configured = made->configured;
	if (e->timeline == 0) { /* no probe has told: the script's word is all there is */
		e->role = made->role;
		e->fresh_as_of = made->fresh_as_of;
	}
	e->weight = made->weight;
	e->quota.limit = made->quota.limit;
	e->index = made->index;
	e->serial = made->serial;
	e->cluster = to;
	to->endpoints[e->index] = e;
	endpoint_free(made);
}

/* What a primary has told dates replicas only as long as they are this primary's. */
static void move_knowledge(struct cluster *to, struct cluster *from, const struct endpoint *primary)
{
	if (primary && primary->cluster == to) {
		to->freshness = from->freshness;
	} else {
		for (size_t i = 0; i < to->endpoint_count; i++)
			if (to->endpoints[i]->role != ROLE_PRIMARY)
				to->endpoints[i]->fresh_as_of = -INFINITY;
	}
	to->counters = from->counters;
	to->counters_told = from->counters_told;
	to->mirrored = from->mirrored;
	to->paused = from->paused;
	to->paused_quiet = from->paused_quiet;
	to->paused_since = from->paused_since;
	to->wanted = from->wanted;
	if (to->writes) { /* the old cluster has noted others, by other scopes */
		writes_note_all(to->writes, clock_now());
		cluster_want(to, clock_now());
	}
	to->introduced = to->introduced || from->introduced;
	swap_text(&to->probe_user, &from->probe_user);
	swap_text(&to->probe_database, &from->probe_database);
}

/* Which primary there is stays known, unless it is one of those that only the old cluster has. */
static void move_topology(struct cluster *to, struct cluster *from, struct endpoint *primary)
{
	bool moved = primary && primary->cluster == to;
	to->topology = moved ? from->topology : TOPOLOGY_NONE;
	to->primary = moved ? primary : NULL;
	to->system = moved ? from->system : 0;
	to->reviewed = moved;
	from->over = true;
	from->primary = NULL;
	from->topology = TOPOLOGY_NONE;
}

/* What the endpoints that stay have done goes along, under the indexes that they have from now on.
 */
static void move_statistics(struct cluster *to, struct cluster *from, const struct pairs *pairs)
{
	unsigned before[CLUSTER_ENDPOINTS];
	struct statistics *kept = from->statistics;
	for (size_t i = 0; i < CLUSTER_ENDPOINTS; i++)
		before[i] = pairs->old[i] ? pairs->old[i]->index : CLUSTER_ENDPOINTS;
	statistics_remap(kept, before);
	from->statistics = to->statistics;
	to->statistics = kept;
}

static void close_gaps(struct cluster *from)
{
	size_t count = 0;
	for (size_t i = 0; i < from->endpoint_count; i++) {
		struct endpoint *e = from->endpoints[i];
		if (!e)
			continue;
		e->index = (unsigned)count;
		from->endpoints[count++] = e;
	}
	from->endpoint_count = count;
}

/* The new sizes, times and limits hold from now on. */
static void apply_config(struct endpoint *e)
{
	struct pool *pool, *next;
	double soon = clock_now() + e->cluster->health.interval;
	HASH_ITER (hh, e->pools, pool, next)
		pool_reconfigure(pool);
	if (health_usable(&e->health) && e->health.next > soon)
		e->health.next = soon;
	probe_reschedule(e->probe);
}

struct adoption cluster_adopt(struct cluster *to, struct cluster *from)
{
	struct pairs pairs;
	struct adoption sum = {0};
	struct endpoint *primary = cluster_primary(from);
	pair_up(to, from, &pairs);
	move_statistics(to, from, &pairs);
	for (size_t i = 0; i < to->endpoint_count; i++)
		if (pairs.old[i]) {
			move_endpoint(pairs.old[i], to->endpoints[i], to);
			sum.kept++;
		}
	close_gaps(from);
	move_topology(to, from, primary);
	move_knowledge(to, from, primary);
	cluster_review(to);
	for (size_t i = 0; i < to->endpoint_count; i++)
		if (pairs.old[i])
			apply_config(to->endpoints[i]);
	news_catch_up(to);
	sum.added = cluster_present(to) - sum.kept;
	sum.removed = cluster_present(from);
	return sum;
}

void cluster_retire(struct cluster *cluster)
{
	cluster->name = "";
	patroni_stop(cluster->patroni);
	catalogs_free(cluster->catalogs);
	cluster->catalogs = NULL;
	for (size_t i = 0; i < cluster->endpoint_count; i++) {
		struct endpoint *e = cluster->endpoints[i];
		struct pool *pool, *next;
		if (!e->absent)
			log_info(&cluster->context->log, "endpoint removed",
			         LOG_T("endpoint", e->name), LOG_N("in_flight", e->in_flight));
		probe_retire(e->probe);
		HASH_ITER (hh, e->pools, pool, next)
			pool_free(pool);
	}
}

bool cluster_is_empty(const struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->endpoint_count; i++)
		if (cluster->endpoints[i]->pools || cluster->endpoints[i]->in_flight)
			return false;
	return true;
}
