/* balance.h - which of several candidates. Pure: chance is an argument. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_BALANCE_H
#define MOONGATE_CLUSTER_BALANCE_H

#include <stddef.h>
#include <stdint.h>

enum balance {
	BALANCE_WEIGHTED,        /* random, in proportion to the weights */
	BALANCE_ROUND_ROBIN,     /* smooth weighted round robin */
	BALANCE_LEAST_IN_FLIGHT, /* fewest queries under way per weight */
	BALANCE_LATENCY,         /* the better of two random choices by expected wait */
};

struct candidate {
	double weight;      /* >= 0; 0 is taken only when all are 0 */
	double latency;     /* s, moving average; 0: not known yet, which counts as best */
	unsigned in_flight; /* queries under way and waiting */
	double *credit;     /* kept between calls for round robin; one per endpoint and route */
};

/* An index below `count` (which is at least 1). `random` is the worker's generator state. */
size_t balance_pick(enum balance how, const struct candidate *candidates, size_t count,
                    uint64_t *random);

/* The moving average after one more sample, both in seconds; 0 stands for no samples yet. */
double balance_latency(double average, double sample);

/* The same for a sample that is only known to lie between two bounds: an average that does, too,
 * stays as it is. */
double balance_latency_within(double average, double least, double most);

#endif
