/* route_parts.h - what route.c chooses by, for route_consider.c, which tells of it. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_ROUTE_PARTS_H
#define MOONGATE_CLUSTER_ROUTE_PARTS_H

#include "cluster/cluster.h"

struct route {
	struct route *next; /* in its cluster's list: those made before it */
	unsigned number;
	struct cluster *cluster;
	struct route_config config;
	char *name, *region, *prefer, *names; /* what the config's strings point to */
	struct route_weight *weights;         /* likewise; each name is a block of its own */
	double weighs[CLUSTER_ENDPOINTS];     /* these, by endpoint; negative: its own */
	double credit[CLUSTER_ENDPOINTS];     /* round robin's memory */
};

struct route_choices {
	size_t count, preferred; /* the preferred ones stand first */
	bool stale;              /* some were left out that are only not fresh enough */
	struct candidate candidates[CLUSTER_ENDPOINTS];
	struct endpoint *endpoints[CLUSTER_ENDPOINTS];
};

/* Whether the route's `to` means this endpoint, whatever its health. */
bool route_targets(const struct route *route, const struct endpoint *endpoint);

/* Whether it takes anything at all now. */
bool route_usable(const struct endpoint *endpoint, const struct demand *demand);

/* The level that holds, and whether the endpoint is so fresh. */
enum consistency route_level(const struct route_config *config, const struct demand *demand);
bool route_fresh_enough(const struct route_config *config, const struct endpoint *endpoint,
                        const struct demand *demand);

/* Whether nothing but the primary will do. */
bool route_wants_primary(const struct route_config *config, const struct demand *demand);

/* A primary that is read-only may still be read. */
bool route_is_served(const struct cluster *cluster, bool to_read);

/* All that will do. `heeding`: leaves out those whose breaker is open. */
void route_collect(struct route *route, const struct demand *demand, bool heeding,
                   struct route_choices *choices);

#endif
