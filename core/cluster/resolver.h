/* resolver.h - host names to addresses without blocking the loop (c-ares).
 *
 * libpq resolves names by blocking; so names are resolved here and libpq is given `hostaddr`.
 * Nothing is remembered between calls: each reconnect asks again, which is what makes a failover by
 * DNS work. /etc/hosts is honoured. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_RESOLVER_H
#define MOONGATE_CLUSTER_RESOLVER_H

#include "base/status.h"

#include <ev.h>

struct resolver;
struct resolver_query;

/* Runs exactly once per resolver_start() that was not cancelled, never before it has returned.
 * `addresses` is a comma-separated list of numeric addresses, ready for libpq's `hostaddr`; NULL
 * unless `status` is ST_OK, and then `reason` says why. Both are valid during the call. */
typedef void resolved_fn(enum status status, const char *addresses, const char *reason, void *arg);

/* NULL: out of memory, or c-ares would not start. */
struct resolver *resolver_new(struct ev_loop *loop);
void resolver_free(struct resolver *r); /* NULL is fine; queries under way are cancelled unheard */

/* Asks these name servers, "address[:port],...", from now on instead of those of resolv.conf. */
enum status resolver_set_servers(struct resolver *r, const char *servers) MUST_CHECK;

/* Looks up `host` (copied). NULL: out of memory. The query frees itself after its callback. */
struct resolver_query *resolver_start(struct resolver *r, const char *host, resolved_fn *fn,
                                      void *arg) MUST_CHECK;
/* The callback will not run; NULL is fine, and so is calling it from the callback. */
void resolver_cancel(struct resolver_query *query);

#endif
