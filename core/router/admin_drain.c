/* admin_drain.c - /drain and /undrain: of the endpoint that "?endpoint=" names, in all clusters
 * that have it, or in the one that "&cluster=" names. */
/* SPDX-License-Identifier: MIT */
#include "cluster/cluster.h"
#include "router/admin_pages.h"
#include "router/worker.h"

#include <string.h>

struct drain_order {
	const char *endpoint, *cluster; /* names; `cluster` NULL: any */
	bool drain;
	unsigned found, in_flight; /* what came of it */
};

static void carry_out(struct drain_order *order, const struct cluster *c)
{
	for (size_t i = 0; i < c->endpoint_count; i++) {
		struct endpoint *e = c->endpoints[i];
		if (strcmp(e->name, order->endpoint) != 0)
			continue;
		endpoint_drain(e, order->drain);
		order->found++;
		order->in_flight += e->in_flight;
	}
}

static void give_order(const struct worker *w, const struct http_request *q,
                       struct http_response *r, bool drain)
{
	struct drain_order order = {.endpoint = http_argument(q, "endpoint"),
	                            .cluster = http_argument(q, "cluster"),
	                            .drain = drain};
	if (!order.endpoint) {
		admin_say(r, 400, "error", "which one? ?endpoint=NAME, as /health names them");
		return;
	}
	for (size_t i = 0; i < script_cluster_count(w->script); i++) {
		const struct script_cluster *c = script_cluster_at(w->script, i);
		if (!order.cluster || strcmp(order.cluster, c->database) == 0)
			carry_out(&order, c->cluster);
	}
	if (order.found == 0) {
		admin_say(r, 404, "error", "there is no such endpoint; /health names them");
		return;
	}
	fprintf(r->body, "{\"draining\":%s,\"in_flight\":%u}\n", drain ? "true" : "false",
	        order.in_flight);
}

void admin_drain(struct worker *w, const struct http_request *q, struct http_response *r)
{
	give_order(w, q, r, true);
}

void admin_undrain(struct worker *w, const struct http_request *q, struct http_response *r)
{
	give_order(w, q, r, false);
}
