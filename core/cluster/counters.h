/* counters.h - what a cluster has done to hide failures from its clients, or could not, counted. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_COUNTERS_H
#define MOONGATE_CLUSTER_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log;

enum counter {
	/* Statements that ran a second time, and why. */
	COUNTER_REPAIRED_READ_ONLY, /* a replica said 25006: on the primary */
	COUNTER_REPAIRED_RECOVERY,  /* it named recovery in other words: on the primary */
	COUNTER_REPAIRED_CONFLICT,  /* in the way of replay (40001, 40P01): elsewhere */
	COUNTER_REPAIRED_LOST,      /* the server went: elsewhere */
	COUNTER_REPAIRED_PLAN,      /* its plan was stale: on the same server */
	/* What clients were told. */
	COUNTER_UNKNOWN_OUTCOMES, /* 08007 */
	COUNTER_CUT_OFF_BLOCKS,   /* blocks that were lost with their server */
	/* Queries that waited for an endpoint. */
	COUNTER_HELD,
	COUNTER_HELD_RELEASED, /* went on */
	COUNTER_HELD_TIMEOUTS, /* in vain: 57P03 */
	COUNTER_HELD_REFUSED,  /* at once: beyond hold_limit */
	COUNTER_PAUSED,        /* queries that waited for the end of a pause */
	COUNTERS,
};

struct counters {
	uint64_t values[COUNTERS];
};

/* "repaired_read_only" ...: what metrics and logs call it; static. */
const char *counter_name(enum counter counter);

/* "held:3,held_released:2": those that have grown since `before`, cut where `size` ends. False:
 * none has. */
bool counters_text(const struct counters *now, const struct counters *before, char *text,
                   size_t size);

/* One line at level `info` of what has grown since `told`, which is brought up to date. */
void counters_log(const struct counters *now, struct counters *told, const struct log *log,
                  const char *cluster);

#endif
