/* simulate.h - a cluster that connects nowhere: what policies are tried on without a database. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_SIMULATE_H
#define MOONGATE_CLUSTER_SIMULATE_H

#include <stdbool.h>
#include <stddef.h>

struct cluster;
struct endpoint;
struct simulation;

/* Instead of cluster_start(): all endpoints are up, in the roles that they were configured with,
 * and hold all commits, until endpoint_simulate() says otherwise. Nothing is ever probed. */
void cluster_simulate(struct cluster *cluster);

/* The same for a while, before cluster_start(): what the endpoints were comes back with
 * cluster_simulate_end(), which takes `before` (NULL is fine). NULL: out of memory, and nothing has
 * changed. */
struct simulation *cluster_simulate_begin(struct cluster *cluster);
void cluster_simulate_end(struct cluster *cluster, struct simulation *before);

/* What is the case there from now on: "up", "down", "drained", "undrained", "primary", "replica",
 * "read_only", or one of lag=S (which makes it as stale), staleness=S, latency=S, lag_bytes=N,
 * in_flight=N, waiting=N, weight=N. False: `wrong` says what is not understood, and what would be.
 */
bool endpoint_simulate(struct endpoint *endpoint, const char *what, char *wrong, size_t wrong_size);

#endif
