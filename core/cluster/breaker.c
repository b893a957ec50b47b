/* breaker.c - see breaker.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/breaker.h"

#include <string.h>

/* Makes `at` the slot of `now`: those that it passes have left the window. */
static void advance(struct breaker *b, const struct breaker_config *config, double now)
{
	double width = config->window / BREAKER_SLOTS;
	if (now - b->began >= config->window) {
		memset(b->slots, 0, sizeof b->slots);
		b->began = now;
		return;
	}
	while (now - b->began >= width) {
		b->at = (b->at + 1) % BREAKER_SLOTS;
		b->slots[b->at] = (struct breaker_slot){0};
		b->began += width;
	}
}

static void trip(struct breaker *b, const struct breaker_config *config, double now)
{
	breaker_reset(b);
	b->state = BREAKER_OPEN;
	b->until = now + config->pause;
}

static bool too_many(const struct breaker *b, const struct breaker_config *config)
{
	double failures = 0, all = 0;
	for (unsigned i = 0; i < BREAKER_SLOTS; i++) {
		failures += b->slots[i].failures;
		all += (double)b->slots[i].failures + b->slots[i].successes;
	}
	return failures >= config->failures && failures >= config->ratio * all;
}

void breaker_try(struct breaker *b, const struct breaker_config *config, double now)
{
	if (b->state == BREAKER_CLOSED)
		return;
	if (now >= b->until) {
		b->state = BREAKER_HALF_OPEN;
		b->tried = b->passed = 0;
		b->until = now + config->pause;
	}
	b->tried++;
}

bool breaker_success(struct breaker *b, const struct breaker_config *config)
{
	if (b->state == BREAKER_CLOSED) {
		b->slots[b->at].successes++;
		return false;
	}
	if (b->state == BREAKER_OPEN || ++b->passed < config->trials)
		return false;
	breaker_reset(b);
	return true;
}

bool breaker_failure(struct breaker *b, const struct breaker_config *config, double now)
{
	if (config->failures == 0 || b->state == BREAKER_OPEN)
		return false;
	if (b->state == BREAKER_HALF_OPEN) {
		trip(b, config, now);
		return true;
	}
	advance(b, config, now);
	b->slots[b->at].failures++;
	if (!too_many(b, config))
		return false;
	trip(b, config, now);
	return true;
}

void breaker_reset(struct breaker *b)
{
	*b = (struct breaker){0};
}

const char *breaker_state_name(enum breaker_state state)
{
	static const char *const names[BREAKER_STATES] = {"closed", "open", "half_open"};
	return names[state];
}
