/* balance.c - see balance.h.
 *
 * Every way to choose asks share(): a candidate of weight 0 has none, unless all weigh 0, and then
 * all have the same. */
/* SPDX-License-Identifier: MIT */
#include "cluster/balance.h"

#include "base/random.h"

#include <math.h>
#include <stdbool.h>

#define NONE           SIZE_MAX
#define LATENCY_NEWEST 0.2  /* what one sample counts for in the moving average */
#define LATENCY_LEAST  1e-6 /* s: a sample never looks like "not known" */

struct choice {
	const struct candidate *candidates;
	size_t count;
	bool flat; /* all weigh 0 */
	uint64_t *random;
};

static double share(const struct choice *choice, size_t i)
{
	return choice->flat ? 1 : choice->candidates[i].weight;
}

static bool all_weightless(const struct candidate *candidates, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (candidates[i].weight > 0)
			return false;
	return true;
}

/* By weight, leaving out one; NONE where no other has a share. */
static size_t pick_weighted(const struct choice *choice, size_t except)
{
	double total = 0;
	for (size_t i = 0; i < choice->count; i++)
		total += i == except ? 0 : share(choice, i);
	double point = random_unit(choice->random) * total;
	size_t last = NONE; /* rounding may leave `point` a hair beyond the last one's share */
	for (size_t i = 0; i < choice->count; i++) {
		if (i == except || share(choice, i) <= 0)
			continue;
		last = i;
		point -= share(choice, i);
		if (point < 0)
			break;
	}
	return last;
}

/* Each turn everyone earns its share, and the richest pays a whole round's: a weight of 3 against
 * 1 gives a a b a, not a a a b. */
static size_t pick_round_robin(const struct choice *choice)
{
	size_t best = NONE;
	double total = 0;
	for (size_t i = 0; i < choice->count; i++) {
		double *credit = choice->candidates[i].credit;
		if (share(choice, i) <= 0)
			continue;
		total += share(choice, i);
		*credit += share(choice, i);
		if (best == NONE || *credit > *choice->candidates[best].credit)
			best = i;
	}
	*choice->candidates[best].credit -= total;
	return best;
}

/* Ties, which is all of an idle cluster, are settled by weight: the i-th of them takes over with
 * the chance that its share has among those seen so far. */
static size_t pick_least_in_flight(const struct choice *choice)
{
	size_t best = NONE;
	double least = INFINITY, tied = 0;
	for (size_t i = 0; i < choice->count; i++) {
		if (share(choice, i) <= 0)
			continue;
		double load = choice->candidates[i].in_flight / share(choice, i);
		if (load > least)
			continue;
		tied = load < least ? share(choice, i) : tied + share(choice, i);
		if (load < least || random_unit(choice->random) * tied < share(choice, i))
			best = i;
		least = load;
	}
	return best;
}

/* Whether `a` would answer later than `b`; what has not been measured yet is tried first. */
static bool slower(const struct candidate *a, const struct candidate *b)
{
	double wait_a = a->latency * (a->in_flight + 1.0);
	double wait_b = b->latency * (b->in_flight + 1.0);
	if (wait_a <= 0 && wait_b <= 0)
		return a->in_flight > b->in_flight;
	return wait_a > wait_b;
}

static size_t pick_latency(const struct choice *choice)
{
	size_t a = pick_weighted(choice, NONE);
	size_t b = pick_weighted(choice, a);
	if (b != NONE && slower(&choice->candidates[a], &choice->candidates[b]))
		return b;
	return a;
}

size_t balance_pick(enum balance how, const struct candidate *candidates, size_t count,
                    uint64_t *random)
{
	if (count == 1)
		return 0;
	struct choice choice = {.candidates = candidates,
	                        .count = count,
	                        .flat = all_weightless(candidates, count),
	                        .random = random};
	switch (how) {
	case BALANCE_ROUND_ROBIN:
		return pick_round_robin(&choice);
	case BALANCE_LEAST_IN_FLIGHT:
		return pick_least_in_flight(&choice);
	case BALANCE_LATENCY:
		return pick_latency(&choice);
	case BALANCE_WEIGHTED:
		break;
	}
	return pick_weighted(&choice, NONE);
}

double balance_latency(double average, double sample)
{
	sample = fmax(sample, LATENCY_LEAST);
	return average <= 0 ? sample : average + LATENCY_NEWEST * (sample - average);
}

double balance_latency_within(double average, double least, double most)
{
	if (average <= 0)
		return average;
	return balance_latency(average, fmin(fmax(average, least), most));
}
