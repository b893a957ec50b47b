/* pause.h - a cluster that sends no new work, so that PostgreSQL may be restarted or replaced.
 *
 *   cluster_pause()   batches and blocks under way go on to their end, and so do clients that keep
 *                     their server (pins, pool mode "session"); everybody else waits, without a
 *                     deadline, as one of the held (dispatch.h). Idle servers are closed, others
 *                     as they come back. The log tells when none is left.
 *   cluster_resume()  all that wait go on, in arrival order
 *
 * Probes go on meanwhile. Replication connections are neither held nor ended. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_PAUSE_H
#define MOONGATE_CLUSTER_PAUSE_H

#include "cluster/cluster.h"

/* Fine when it is paused already. Callbacks of those that are too many to be held may run inside.
 */
void cluster_pause(struct cluster *cluster);

/* Fine when it is not. Callbacks of those that waited may run inside. */
void cluster_resume(struct cluster *cluster);

static inline bool cluster_is_paused(const struct cluster *cluster)
{
	return cluster->paused;
}

/* Servers that are lent, or being opened. */
unsigned cluster_servers_at_work(const struct cluster *cluster);

/* It is paused, and no server is at work or being opened any more. */
bool cluster_is_quiet(const struct cluster *cluster);

/* For pools: a server has gone. */
void cluster_note_quiet(struct cluster *cluster);

#endif
