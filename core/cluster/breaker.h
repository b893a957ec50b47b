/* breaker.h - whether traffic should try an endpoint, from what came of traffic. Pure.
 *
 *          too many failures                   `pause` is over
 *  CLOSED -------------------> OPEN <------+ -------------------> HALF_OPEN
 *     ^                                    +--- a failure ------------|
 *     +------------------------ `trials` successes -------------------+
 *
 * health.h goes by failures in a row and by probes, which may all be answered while half of the
 * traffic fails (new connections hang, the old ones and the probe's are fine). This goes by the
 * share of failures in a window of time. Successes are many, so counting one reads no clock: they
 * fall into the slot of the last failure. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_BREAKER_H
#define MOONGATE_CLUSTER_BREAKER_H

#include <stdbool.h>

struct breaker_config {
	unsigned failures; /* that open it, within `window`; 0: nothing does */
	double window;     /* s */
	double ratio;      /* 0 .. 1: if they are that share of all that was tried, too */
	double pause;      /* s until it is tried again */
	unsigned trials;   /* queries let through then per pause; all must succeed */
};

#define BREAKER_DEFAULTS                                                                           \
	((struct breaker_config){                                                                  \
	        .failures = 5, .window = 10, .ratio = 0.5, .pause = 5, .trials = 3})

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN, BREAKER_STATES };

#define BREAKER_SLOTS 10

/* Zero is closed, and nothing known. */
struct breaker {
	enum breaker_state state;
	double until; /* OPEN: when trials begin; HALF_OPEN: when others may be let through */
	unsigned tried, passed; /* HALF_OPEN: let through; of these, succeeded */
	double began;           /* of the slot at `at` */
	unsigned at;
	struct breaker_slot {
		unsigned failures, successes;
	} slots[BREAKER_SLOTS];
};

/* Whether traffic may go there. Where nothing else is left, it goes there all the same. */
static inline bool breaker_allows(const struct breaker *b, const struct breaker_config *config,
                                  double now)
{
	if (b->state == BREAKER_CLOSED)
		return true;
	return now >= b->until || (b->state == BREAKER_HALF_OPEN && b->tried < config->trials);
}

/* A query goes there. */
void breaker_try(struct breaker *b, const struct breaker_config *config, double now);

/* What came of it. True: the state has changed, to CLOSED or OPEN. */
bool breaker_success(struct breaker *b, const struct breaker_config *config);
bool breaker_failure(struct breaker *b, const struct breaker_config *config, double now);

/* Everything is forgotten: the endpoint has been down, and has come back. */
void breaker_reset(struct breaker *b);

/* "closed", "open", "half_open" */
const char *breaker_state_name(enum breaker_state state);

#endif
