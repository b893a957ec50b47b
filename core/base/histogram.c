/* histogram.c - see histogram.h.
 *
 * With e the highest bit of a duration in µs, the bucket is made of e and the 3 bits below it;
 * durations of less than 8 µs have one bucket each. */
/* SPDX-License-Identifier: MIT */
#include "base/histogram.h"

#include <math.h>

#define SUBS    (1u << HISTOGRAM_SUB_BITS)
#define LONGEST ((UINT32_C(1) << HISTOGRAM_BITS) - 1)

static unsigned highest_bit(uint32_t n)
{
	return 31u - (unsigned)__builtin_clz(n);
}

unsigned histogram_bucket(double seconds)
{
	double us = seconds * 1e6;
	uint32_t n = us >= LONGEST ? LONGEST : us > 0 ? (uint32_t)us : 0;
	if (n < SUBS)
		return n;
	unsigned shift = highest_bit(n) - HISTOGRAM_SUB_BITS;
	return (shift << HISTOGRAM_SUB_BITS) + (n >> shift);
}

static void halve(struct histogram *h)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		h->counts[i] /= 2;
}

void histogram_count(struct histogram *h, unsigned bucket)
{
	if (h->counts[bucket] == UINT32_MAX)
		halve(h);
	h->counts[bucket]++;
}

/* The middle of a bucket, in seconds. */
static double middle(unsigned bucket)
{
	if (bucket < SUBS)
		return (bucket + 0.5) * 1e-6;
	unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
	uint32_t low = ((bucket & (SUBS - 1)) + SUBS) << shift;
	return (low + 0.5 * (1u << shift)) * 1e-6;
}

double histogram_quantile(const struct histogram *h, double q)
{
	uint64_t total = 0, seen = 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += h->counts[i];
	uint64_t rank = (uint64_t)ceil(q * (double)total);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->counts[i];
		if (seen && seen >= rank)
			return middle(i);
	}
	return 0;
}
