/* evacuate.c - see evacuate.h. A machine that stops without a word leaves its connections open: it
 * is its probes that tell. */
/* SPDX-License-Identifier: MIT */
#include "router/evacuate.h"

#include "cluster/cluster.h"
#include "cluster/pool.h"
#include "router/relay.h"

static void look_at(struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->endpoint_count; i++) {
		struct endpoint *e = cluster->endpoints[i];
		if (e->waiting && !health_usable(&e->health))
			pools_turn_away(e);
	}
}

void evacuate_queues(struct worker *w)
{
	for (size_t i = 0; i < script_cluster_count(w->script); i++)
		look_at(script_cluster_at(w->script, i)->cluster);
}

bool evacuate_read(struct exchange *x)
{
	const struct endpoint *e = x->server->endpoint;
	double sent = x->client->worker->started + x->batch_since;
	if (x->decided || x->replay != REPLAY_ANYWHERE || !x->outstanding || sent > e->went_down)
		return false;
	relay_lost(x);
	return true;
}
