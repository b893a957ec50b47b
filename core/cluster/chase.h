/* chase.h - probes that hurry because somebody has written, or waits to read.
 *
 * write --> probe of the primary --> its answer --> probes of replicas, until they are fresh as of
 * the write: soon at first, then at growing distances. What there is to know then is known within
 * milliseconds, and an idle cluster is probed at its interval all the same. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_CHASE_H
#define MOONGATE_CLUSTER_CHASE_H

struct cluster;
struct endpoint;

#define CHASE_FIRST 0.002  /* s from one probe of a replica to the next, at first; then twice that \
	                    */
#define CHASE_STEADY 0.01  /* while it keeps coming closer; between probes of the primary */
#define CHASE_WAITED 0.005 /* at most, while a read waits */
#define CHASE_LAST   0.1   /* at most, soon after a write; of one long ago a quarter of its age */

/* The primary has reported a new position. */
void chase_primary(struct cluster *cluster);

/* A replica was known to be fresh as of `before`, and has answered since. */
void chase_replica(struct endpoint *replica, double before, double now);

#endif
