/* adopt.h - a cluster that was made anew takes over what an old one has.
 *
 * Endpoints that both name alike (host, port, user, password: all that their URLs say) move as they
 * are, with their pools, probes, health and what is known of them; so whoever holds a server of
 * theirs notices nothing. Those that only the old one has stay there and are retired: they take no
 * new work, and their servers are closed as they come back. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_ADOPT_H
#define MOONGATE_CLUSTER_ADOPT_H

#include "cluster/cluster.h"

/* What it came to. */
struct adoption {
	size_t kept, added, removed; /* endpoints */
};

/* Takes the memory that cluster_adopt() needs. ST_ENOMEM: nothing has changed. What was prepared is
 * either adopted, at once, or cancelled. */
enum status cluster_adopt_prepare(struct cluster *to, struct cluster *from) MUST_CHECK;
void cluster_adopt_cancel(struct cluster *to, struct cluster *from);

/* No dispatch may be under way in `from`, and `to` has not been started. Cannot fail. */
struct adoption cluster_adopt(struct cluster *to, struct cluster *from);

/* What is left of `cluster` takes no new work. */
void cluster_retire(struct cluster *cluster);

/* Whether all that was lent of a retired cluster has come back: it may be freed. */
bool cluster_is_empty(const struct cluster *cluster);

#endif
