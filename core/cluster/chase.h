/* chase.h - probes that hurry because somebody has written, or waits to read.
 *
 * write --> probe of the primary --> its answer --> probes of replicas, until they are fresh as of
 * the write: soon at first, then at growing distances. What there is to know then is known within
 * milliseconds, and an idle cluster is probed at its interval all the same. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_CHASE_H
#define MOONGATE_CLUSTER_CHASE_H

#include <stdbool.h>

struct cluster;
struct endpoint;

#define CHASE_FIRST                                                                                \
	0.002              /* s from one probe of a replica to the next, at first; then twice that \
	                    */
#define CHASE_STEADY 0.01  /* while it keeps coming closer; between probes of the primary */
#define CHASE_WAITED 0.005 /* at most, while a read waits */
#define CHASE_LAST   0.1   /* at most, soon after a write; of one long ago a quarter of its age */

/* A session that has read on the primary could go back to a replica if only it were known that
 * nothing was committed since: some replica has caught up with `last_write`, and with all that the
 * primary has told. One probe tells, so its read is worth a wait of this long: else a session that
 * never pauses would stay on the primary for ever. */
#define CHASE_RETURN 0.015 /* s */
bool chase_may_return(const struct cluster *cluster, double last_write);

/* The primary has reported a new position. */
void chase_primary(struct cluster *cluster);

/* A replica was known to be fresh as of `before`, and has answered since. */
void chase_replica(struct endpoint *replica, double before, double now);

#endif
