/* route.h - a way to choose an endpoint, made once, at load, and used for every query. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_ROUTE_H
#define MOONGATE_CLUSTER_ROUTE_H

#include "cluster/balance.h"
#include "cluster/need.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cluster;
struct endpoint;

enum route_target { TO_PRIMARY, TO_REPLICAS, TO_ANY, TO_NAMED, TO_REGION };

struct route_weight {
	const char *endpoint; /* its name */
	double weight;        /* >= 0 */
};

/* What a route is made of; zero is a route to the primary. */
struct route_config {
	const char *name; /* what logs and `moongate explain` call it; NULL: made from the target */
	enum route_target to;
	uint64_t named;    /* TO_NAMED: a bit per endpoint, by its index in the cluster */
	const char *names; /* TO_NAMED: these, each ending with a NUL, the last with two; so `named`
	                      follows who joins. NULL: `named` is all */
	const char *region; /* TO_REGION */
	const struct route_weight
	        *weights; /* what endpoints weigh here; the others have their own */
	size_t weight_count;
	enum balance balance;
	enum consistency consistency;
	enum scope scope;
	double max_staleness; /* s, for CONSISTENCY_BOUNDED */
	double wait_fresh;    /* s that a read may wait for an endpoint of the route to become fresh
	                         enough, before the fallback is taken; 0: it does not */
	double max_lag;       /* s; 0: no limit */
	const char *prefer;   /* a region whose endpoints are taken while any of them will do */
	bool fallback_primary;
	double timeout;       /* s that a query of this route may run; 0: no limit of the route's */
	struct route *mirror; /* where copies of its reads go; NULL: nowhere */
	double hold; /* s that a query may wait for an endpoint of this route; 0: the acquire
	                timeout */
};

struct route; /* owned by its cluster, alive as long as it */

/* The circumstances of one choice. */
struct demand {
	double now;
	double last_write; /* when the last write in the scope was seen committed; -INFINITY: never
	                    */
	uint64_t excluded; /* endpoints already tried in vain, a bit each */
	const struct need *need; /* NULL: nothing beyond the route's level */
	bool patient; /* rather none than the fallback, where some endpoint is only not fresh enough
	               */
};

/* Copies `config`. NULL: out of memory. */
struct route *route_new(struct cluster *cluster, const struct route_config *config);

/* The same route under the same name, but for these two; 0 and NULL: as they are. NULL: out of
 * memory. */
struct route *route_with(const struct route *route, double timeout, struct route *mirror);

/* The endpoint for one query, or NULL when none will do now. Failed endpoints that would have been
 * candidates are told of the demand, and may be probed at once. */
struct endpoint *route_pick(struct route *route, const struct demand *demand);

/* Those from which route_pick() would choose now: a bit each, by their index. */
uint64_t route_candidates(struct route *route, const struct demand *demand);

/* Whether an endpoint is so fresh that this read may use it, by what the read asks for alone: where
 * the policy has named the endpoint itself. */
bool endpoint_meets(const struct endpoint *endpoint, const struct demand *demand);

/* Whether `endpoint` would be a right choice now: what lets a batch follow another one on the same
 * server without a new choice. */
bool route_accepts(const struct route *route, const struct endpoint *endpoint,
                   const struct demand *demand);

/* Whether, when nothing else will do, the primary is what it waits for. */
bool route_needs_primary(const struct route *route, const struct demand *demand);

/* For the cluster: one route, and a whole list of them. */
void route_free(struct route *route);
void routes_free(struct route *first);

/* Who joins or leaves may be who a route means. */
void routes_name_endpoints(struct route *first);

/* 1 and up, among those of its cluster; and back: NULL, there is no such route. */
unsigned route_number(const struct route *route);
const struct route *cluster_route(const struct cluster *cluster, unsigned number);

const char *route_name(const struct route *route);
const struct route_config *route_config(const struct route *route);

#endif
