/* route_consider.h - why a route leads where it leads, in an operator's words: for explaining, not
 * for traffic. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_ROUTE_CONSIDER_H
#define MOONGATE_CLUSTER_ROUTE_CONSIDER_H

#include "cluster/cluster.h"

/* Runs once per endpoint that is there, in the order of the configuration. `why` is valid during
 * the call: "weight 3 of 4, 75 %", "down: connection refused". */
typedef void route_considered_fn(const struct endpoint *endpoint, bool taken, const char *why,
                                 void *arg);

/* `taken` is what route_pick() has given for the same demand just now; NULL: nobody. */
void route_consider(struct route *route, const struct demand *demand, const struct endpoint *taken,
                    route_considered_fn *fn, void *arg);

/* The same where an endpoint was named instead of a route; `taken` may be another one. */
void endpoint_consider(const struct endpoint *named, const struct demand *demand,
                       const struct endpoint *taken, route_considered_fn *fn, void *arg);

/* Whether two routes, of any clusters, choose among the same endpoints on the same conditions,
 * whatever they are called, and however they balance. */
bool route_leads_alike(const struct route *a, const struct route *b);

#endif
