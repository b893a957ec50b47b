/* backoff.h - how long to wait before trying again. Pure: chance is an argument.
 *
 * Delays grow from `initial` by `factor` to `max`; after `attempts` failures in a row
 * backoff_spent() says that trying by itself should end. With the defaults: 2, 4, 8, 16, 32 s. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_BACKOFF_H
#define MOONGATE_CLUSTER_BACKOFF_H

#include <stdbool.h>

struct backoff_config {
	double initial;    /* s */
	double factor;     /* >= 1 */
	double max;        /* s */
	unsigned attempts; /* failures in a row until spent; 0: never */
	double jitter;     /* 0 .. 1: the share of a delay that chance may add or take */
};

#define BACKOFF_DEFAULTS                                                                           \
	((struct backoff_config){                                                                  \
	        .initial = 2, .factor = 2, .max = 32, .attempts = 5, .jitter = 0.2})

/* Seconds to wait after the `failures`-th failure in a row (1 for the first; 0 means no wait).
 * `chance` is in [0, 1): 0.5 gives the plain delay, so that jitter moves it both ways. */
double backoff_delay(const struct backoff_config *config, unsigned failures, double chance);

bool backoff_spent(const struct backoff_config *config, unsigned failures);

#endif
