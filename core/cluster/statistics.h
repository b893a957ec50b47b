/* statistics.h - what statements have cost: per fingerprint and endpoint, and per endpoint.
 *
 * Bounded: the STATISTICS_STATEMENTS statements that ran last are known, each with a tally for
 * every endpoint where it ran (STATISTICS_SPLITS such tallies in all); the one that has not run for
 * longest makes room. What is forgotten of statements stays in the endpoints' tallies. Where memory
 * is short nothing is counted, and nothing fails.
 *
 * Times are in seconds, of the asker: from a batch's leaving for its server until its answer is
 * complete. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_STATISTICS_H
#define MOONGATE_CLUSTER_STATISTICS_H

#include "base/histogram.h"
#include "base/list.h"
#include "cluster/cluster.h"
#include "sql/facts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATISTICS_STATEMENTS 500
#define STATISTICS_SPLITS     4000 /* about 1 KiB each */

/* Zero is "nothing yet". */
struct tally {
	uint64_t calls, errors, rows; /* errors are calls, too */
	double total, max;
	struct histogram times;
};

/* 0 without calls. */
double tally_mean(const struct tally *tally);

struct statement_tally {
	uint64_t fingerprint; /* 0: all that could not be read */
	enum sql_kind kind;
	struct tally all;
	struct tally *on[CLUSTER_ENDPOINTS]; /* by the endpoint's index; NULL: it did not run there
	                                      */
	struct list recent;
	struct statement_tally *next; /* of its hash bucket */
};

/* One answered call. */
struct sample {
	uint64_t fingerprint;
	enum sql_kind kind;
	unsigned endpoint; /* its index; CLUSTER_ENDPOINTS: none has answered */
	double seconds;
	uint64_t rows; /* returned or changed, as its command tags say */
	bool failed;   /* the answer was an error */
};

struct statistics;

struct statistics *statistics_new(void);             /* NULL: out of memory */
void statistics_free(struct statistics *statistics); /* NULL is fine */

void statistics_record(struct statistics *statistics, const struct sample *sample);

/* NULL: nothing is known of it. Good until the next statistics_record(). */
const struct statement_tally *statistics_of(const struct statistics *statistics,
                                            uint64_t fingerprint);

/* All calls on an endpoint; all zero where there were none. */
const struct tally *statistics_on(const struct statistics *statistics, unsigned endpoint);

/* Fills `list` with all statements, those first that took most time in all; returns how many. */
size_t statistics_list(const struct statistics *statistics,
                       const struct statement_tally *list[STATISTICS_STATEMENTS]);

/* Another endpoint has this index from now on. */
void statistics_forget(struct statistics *statistics, unsigned endpoint);

/* Endpoints have other indexes from now on: before[i] is what i was; CLUSTER_ENDPOINTS: it is new.
 * What is not named is forgotten. */
void statistics_remap(struct statistics *statistics, const unsigned before[CLUSTER_ENDPOINTS]);

#endif
