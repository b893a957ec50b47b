/* pause.c - see pause.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/pause.h"

#include "base/clock.h"
#include "cluster/dispatch.h"
#include "cluster/pool_state.h"

unsigned cluster_servers_at_work(const struct cluster *cluster)
{
	unsigned count = 0;
	for (size_t i = 0; i < cluster->endpoint_count; i++) {
		const struct endpoint *e = cluster->endpoints[i];
		const struct pool *pool, *next;
		count += e->in_flight;
		HASH_ITER (hh, e->pools, pool, next)
			count += pool->opening_count;
	}
	return count;
}

bool cluster_is_quiet(const struct cluster *cluster)
{
	return cluster->paused && cluster_servers_at_work(cluster) == 0;
}

void cluster_note_quiet(struct cluster *cluster)
{
	if (cluster->paused_quiet || !cluster_is_quiet(cluster))
		return;
	cluster->paused_quiet = true;
	log_info(&cluster->context->log, "paused: no server is at work any more",
	         LOG_T("cluster", cluster->name), LOG_N("held", cluster->held));
}

void cluster_pause(struct cluster *cluster)
{
	if (cluster->paused)
		return;
	cluster->paused = true;
	cluster->paused_quiet = false;
	cluster->paused_since = clock_now();
	log_info(&cluster->context->log, "pausing", LOG_T("cluster", cluster->name),
	         LOG_N("at_work", cluster_servers_at_work(cluster)));
	dispatch_pause_all(cluster);
	for (size_t i = 0; i < cluster->endpoint_count; i++)
		pools_pause(cluster->endpoints[i]);
	cluster_note_quiet(cluster);
}

void cluster_resume(struct cluster *cluster)
{
	if (!cluster->paused)
		return;
	cluster->paused = false;
	log_info(&cluster->context->log, "resumed", LOG_T("cluster", cluster->name),
	         LOG_N("held", cluster->held), LOG_S("after", clock_now() - cluster->paused_since));
	dispatch_wake(cluster);
	for (size_t i = 0; i < cluster->endpoint_count; i++)
		pools_resume(cluster->endpoints[i]);
}
