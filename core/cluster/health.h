/* health.h - whether an endpoint may be used, from what probes and traffic report. Pure.
 *
 *            first success                       `fall` failures
 *  STARTING ---------------> UP <-----------+ -------------------> DOWN --+ attempts spent
 *     |                                     |                      ^  |   v
 *     +-- `fall` failures --> DOWN          +----- `rise` successes ---- FAILED
 *
 * STARTING and UP are usable; after DOWN or FAILED with a share of its weight that grows (slow
 * start). DOWN is tried again after the backoff's delays, FAILED only on
 * demand: when a query would have gone there, and at most once per the backoff's longest delay. Any
 * success in DOWN or FAILED makes the next trial follow after `interval`. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_HEALTH_H
#define MOONGATE_CLUSTER_HEALTH_H

#include "cluster/backoff.h"

#include <stdbool.h>

struct health_config {
	double interval;   /* s between the probes of an endpoint that answers */
	double timeout;    /* s until a probe counts as failed */
	unsigned fall;     /* failures in a row to go down */
	unsigned rise;     /* successes in a row to come up again */
	double slow_start; /* s until it has its whole weight again; 0: at once */
	struct backoff_config backoff;
};

#define HEALTH_DEFAULTS                                                                            \
	((struct health_config){.interval = 1,                                                     \
	                        .timeout = 1,                                                      \
	                        .fall = 3,                                                         \
	                        .rise = 2,                                                         \
	                        .slow_start = 10,                                                  \
	                        .backoff = BACKOFF_DEFAULTS})

enum health_state { HEALTH_STARTING, HEALTH_UP, HEALTH_DOWN, HEALTH_FAILED, HEALTH_STATES };

/* Zero is the state before the first report. */
struct health {
	enum health_state state;
	unsigned failures;  /* in a row, since the last success */
	unsigned successes; /* in a row, since the last failure */
	unsigned attempts;  /* failed since the endpoint went down: what the backoff counts */
	double changed;     /* when the state last changed */
	double next;        /* when to probe next; INFINITY: only on demand */
	double tried;       /* while FAILED: when it was last tried, or a trial demanded */
	double whole_at;    /* when slow start is over */
};

enum health_change { HEALTH_SAME, HEALTH_WENT_UP, HEALTH_WENT_DOWN, HEALTH_GAVE_UP };

/* One result of a probe, or a sign from traffic (a refused connection, a lost server). Sets
 * `next` from the state, the backoff and `chance` in [0, 1). While DOWN, failures that come before
 * `next` do not count as attempts: they are the same death, told again. */
enum health_change health_report(struct health *h, const struct health_config *config, bool ok,
                                 double now, double chance);

bool health_usable(const struct health *h);

/* The share of its weight that it gets, 0 < share <= 1. */
#define HEALTH_LEAST_SHARE 0.1
double health_share(const struct health *h, const struct health_config *config, double now);

/* A sign that it may have died (a server of it ended): counts as a failure while that does not take
 * it down, for one such sign may be anything. A probe is to tell. */
void health_suspect(struct health *h, const struct health_config *config);

/* There is new reason to try it (its name means another address): not usable, it is due now. */
void health_retry(struct health *h, double now);

/* A query wanted this endpoint. True when it is FAILED and a trial is due now: the caller probes at
 * once; further demands stay false for the backoff's longest delay. */
bool health_demand(struct health *h, const struct health_config *config, double now);

/* "starting", "up", "down", "failed" */
const char *health_state_name(enum health_state state);

#endif
