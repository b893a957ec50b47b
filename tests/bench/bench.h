/* bench.h - what the benchmarks in C share: CPU time, medians, a script with a policy to ask. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_TESTS_BENCH_H
#define MOONGATE_TESTS_BENCH_H

#include <stdlib.h>
#include <time.h>

/* Seconds of CPU time that this thread has used: others may be busy. */
static inline double cpu_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static inline int compare_times(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Sorts them. */
static inline double median(double *times, size_t count)
{
	qsort(times, count, sizeof *times, compare_times);
	return times[count / 2];
}

#endif
