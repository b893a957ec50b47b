/* statement_log.h - log_queries: a line in the log for each batch, with its SQL and where it went.
 *
 * Only where the script asks for it: SQL text may hold secrets. `moongate replay` reads it. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_STATEMENT_LOG_H
#define MOONGATE_ROUTER_STATEMENT_LOG_H

#include "router/judge.h"

struct exchange;

/* The policy has let the exchange's next batch go: kept for its line. */
void statement_log_judged(struct exchange *x, const struct judgment *judgment);

/* It goes to the exchange's server now, as was judged, or because its block or its session is bound
 * to it. */
void statement_log_sent(struct exchange *x, const struct batch *b);

/* It goes nowhere. */
void statement_log_rejected(const struct client *c, const struct batch *b,
                            const struct verdict *verdict);

#endif
