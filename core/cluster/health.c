/* health.c - see health.h for the states; enter() holds the legal ways between them. */
/* SPDX-License-Identifier: MIT */
#include "cluster/health.h"

#include <assert.h>
#include <math.h>

#define BIT(state) (1u << (state))

static void enter(struct health *h, enum health_state next, double now)
{
	static const unsigned allowed[HEALTH_STATES] = {
	        [HEALTH_STARTING] = BIT(HEALTH_UP) | BIT(HEALTH_DOWN),
	        [HEALTH_UP] = BIT(HEALTH_DOWN),
	        [HEALTH_DOWN] = BIT(HEALTH_UP) | BIT(HEALTH_FAILED),
	        [HEALTH_FAILED] = BIT(HEALTH_UP),
	};
	assert(allowed[h->state] & BIT(next));
	h->state = next;
	h->changed = now;
}

static enum health_change report_success(struct health *h, const struct health_config *config,
                                         double now)
{
	h->failures = 0;
	h->successes++;
	h->next = now + config->interval;
	if (h->state == HEALTH_UP)
		return HEALTH_SAME;
	if (h->state != HEALTH_STARTING && h->successes < config->rise)
		return HEALTH_SAME;
	if (h->state != HEALTH_STARTING)
		h->whole_at = now + config->slow_start;
	enter(h, HEALTH_UP, now);
	h->attempts = 0;
	return HEALTH_WENT_UP;
}

/* In STARTING and UP. */
static enum health_change fail_usable(struct health *h, const struct health_config *config,
                                      double now, double chance)
{
	h->next = now + config->interval;
	if (h->failures < config->fall)
		return HEALTH_SAME;
	enter(h, HEALTH_DOWN, now);
	h->attempts = 0;
	h->next = now + backoff_delay(&config->backoff, 1, chance);
	return HEALTH_WENT_DOWN;
}

static enum health_change fail_down(struct health *h, const struct health_config *config,
                                    double now, double chance)
{
	/* An endpoint that dies takes all of its servers along, and each of them is reported. Only
	 * what fails when a trial was due is a failed trial. */
	if (now < h->next)
		return HEALTH_SAME;
	h->attempts++;
	if (!backoff_spent(&config->backoff, h->attempts)) {
		h->next = now + backoff_delay(&config->backoff, h->attempts + 1, chance);
		return HEALTH_SAME;
	}
	enter(h, HEALTH_FAILED, now);
	h->next = INFINITY;
	h->tried = now;
	return HEALTH_GAVE_UP;
}

static enum health_change report_failure(struct health *h, const struct health_config *config,
                                         double now, double chance)
{
	h->successes = 0;
	h->failures++;
	switch (h->state) {
	case HEALTH_DOWN:
		return fail_down(h, config, now, chance);
	case HEALTH_FAILED:
		h->next = INFINITY;
		h->tried = now;
		return HEALTH_SAME;
	default:
		return fail_usable(h, config, now, chance);
	}
}

enum health_change health_report(struct health *h, const struct health_config *config, bool ok,
                                 double now, double chance)
{
	return ok ? report_success(h, config, now) : report_failure(h, config, now, chance);
}

bool health_usable(const struct health *h)
{
	return h->state == HEALTH_STARTING || h->state == HEALTH_UP;
}

double health_share(const struct health *h, const struct health_config *config, double now)
{
	if (now >= h->whole_at)
		return 1;
	return fmax(HEALTH_LEAST_SHARE, 1 - (h->whole_at - now) / config->slow_start);
}

void health_suspect(struct health *h, const struct health_config *config)
{
	if (health_usable(h) && h->failures == 0 && config->fall > 1)
		h->failures = 1;
}

void health_retry(struct health *h, double now)
{
	if (!health_usable(h))
		h->next = now;
}

bool health_demand(struct health *h, const struct health_config *config, double now)
{
	bool on_demand = h->state == HEALTH_FAILED && isinf(h->next);
	if (!on_demand || now - h->tried < config->backoff.max)
		return false;
	h->tried = now;
	return true;
}

const char *health_state_name(enum health_state state)
{
	static const char *const names[HEALTH_STATES] = {"starting", "up", "down", "failed"};
	return names[state];
}
