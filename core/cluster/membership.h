/* membership.h - endpoints that come and go while their cluster works.
 *
 * One that leaves keeps its place, so that nothing that refers to it by pointer or index is wrong:
 * it is drained and absent, its role is unknown, nobody probes it; what it has under way ends. It
 * comes back as the same endpoint, if it leads to the same place in the same way. Its place is
 * another's only when the cluster has no other left. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_MEMBERSHIP_H
#define MOONGATE_CLUSTER_MEMBERSHIP_H

#include "cluster/cluster.h"

/* Another endpoint, or one that has left before. NULL, and `error` says why not. Its probes begin
 * with membership_settle(). */
struct endpoint *cluster_join(struct cluster *cluster, const struct endpoint_config *config,
                              char *error, size_t error_size);

/* Fine where it has left already. */
void endpoint_leave(struct endpoint *endpoint);

/* Whether it is what `config` says, but for its weight, region and role. */
bool endpoint_is(const struct endpoint *endpoint, const struct endpoint_config *config);

/* What its role is said to be; as long as no probe has told, it is. */
void endpoint_presume(struct endpoint *endpoint, enum role role);

/* How many endpoints there are that have not left. */
size_t cluster_present(const struct cluster *cluster);

/* After some have joined or left: probes those who have, and finds out what it means. */
void membership_settle(struct cluster *cluster);

#endif
