/* backoff.c - see backoff.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/backoff.h"

#include <math.h>

double backoff_delay(const struct backoff_config *config, unsigned failures, double chance)
{
	if (failures == 0 || config->initial <= 0) /* 0 times an infinite power is no number */
		return 0;
	double grown = config->initial * pow(config->factor, failures - 1);
	double swing = config->jitter * (2 * chance - 1);
	/* Jitter comes after the cap: else all that have reached it would try at once. */
	return fmin(grown, config->max) * (1 + swing);
}

bool backoff_spent(const struct backoff_config *config, unsigned failures)
{
	return config->attempts != 0 && failures >= config->attempts;
}
