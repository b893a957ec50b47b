/* resolver.h - host names to addresses without blocking the loop (c-ares).
 *
 * libpq resolves names by blocking; so names are resolved here and libpq is given `hostaddr`.
 * Nothing is remembered between calls: each reconnect asks again, which is what makes a failover by
 * DNS work; addresses.h asks when an answer is too old. /etc/hosts is honoured. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_RESOLVER_H
#define MOONGATE_CLUSTER_RESOLVER_H

#include "base/status.h"

struct context;
struct resolver;
struct resolver_query;

struct resolved {
	const char *
	        addresses; /* numeric, parted by commas, ready for libpq's `hostaddr`; NULL: none */
	const char *reason; /* why there is none */
	double ttl; /* s that the answer holds; 0: not said; INFINITY: `host` is an address itself
	             */
};

/* Runs exactly once per resolver_start() that was not cancelled, never before it has returned.
 * There are addresses if and only if `status` is ST_OK. `answer` is valid during the call. */
typedef void resolved_fn(enum status status, const struct resolved *answer, void *arg);

/* The name servers are those of resolv.conf, or of MOONGATE_DNS in the environment, as
 * resolver_set_servers() takes them. The context outlives it. NULL: out of memory, or c-ares would
 * not start. */
struct resolver *resolver_new(const struct context *context);
void resolver_free(struct resolver *r); /* NULL is fine; queries under way are cancelled unheard */

/* Asks these name servers, "address[:port],...", from now on instead of those of resolv.conf. */
enum status resolver_set_servers(struct resolver *r, const char *servers) MUST_CHECK;

/* Looks up `host` (copied). NULL: out of memory. The query frees itself after its callback. */
struct resolver_query *resolver_start(struct resolver *r, const char *host, resolved_fn *fn,
                                      void *arg) MUST_CHECK;
/* The callback will not run; NULL is fine, and so is calling it from the callback. */
void resolver_cancel(struct resolver_query *query);

#endif
