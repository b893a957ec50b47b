/* histogram.h - how often durations occurred, for quantiles that are good to a few percent.
 *
 * Buckets are linear within each power of two and the powers of two grow, as in HdrHistogram
 * (Gil Tene, https://hdrhistogram.org): a fixed size, a few instructions per value, and one
 * relative error over the whole range. Here 8 buckets per power of two, from 1 µs to 2^30 µs
 * (18 minutes): a quantile is off by at most 1/16 (6.25 %) of itself, or by half a microsecond
 * where that is more. What is longer counts as the longest. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_BASE_HISTOGRAM_H
#define MOONGATE_BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 3  /* 8 buckets per power of two */
#define HISTOGRAM_BITS     30 /* of the longest duration, in µs */
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

/* Zero is empty. */
struct histogram {
	uint32_t counts[HISTOGRAM_BUCKETS];
};

/* The bucket of a duration, for histogram_count(); less than 0 and NaN are taken for 0. */
unsigned histogram_bucket(double seconds);

/* One more in this bucket. Where one is full (2^32 values), all are halved: the quantiles stay. */
void histogram_count(struct histogram *histogram, unsigned bucket);

/* Seconds below which the share `q` (0 to 1) of all values lies; 0: there are none. */
double histogram_quantile(const struct histogram *histogram, double q);

#endif
