/* test_histogram.c - what quantiles of durations say, and how far they may be off. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/histogram.h"

#include <stdlib.h>
#include <string.h>

static struct histogram histogram;

static int empty(void **state)
{
	(void)state;
	memset(&histogram, 0, sizeof histogram);
	return 0;
}

static void add(double seconds)
{
	histogram_count(&histogram, histogram_bucket(seconds));
}

static void says_zero_of_nothing(void **state)
{
	(void)state;
	assert_near(histogram_quantile(&histogram, 0.5), 0);
}

static void is_off_by_a_sixteenth_at_most(void **state)
{
	(void)state;
	for (double seconds = 8e-6; seconds < 1000; seconds *= 1.0137) {
		memset(&histogram, 0, sizeof histogram);
		add(seconds);
		double said = histogram_quantile(&histogram, 0.5);
		if (fabs(said - seconds) > seconds / 16 + 1e-12)
			fail_msg("%.9g s is said to be %.9g s", seconds, said);
	}
}

static void is_off_by_half_a_microsecond_where_it_is_short(void **state)
{
	(void)state;
	for (double seconds = 0; seconds < 8e-6; seconds += 1e-7) {
		memset(&histogram, 0, sizeof histogram);
		add(seconds);
		assert_true(fabs(histogram_quantile(&histogram, 1) - seconds) <= 0.5001e-6);
	}
}

static void has_each_bucket_once_and_in_order(void **state)
{
	(void)state;
	unsigned last = 0;
	for (double us = 0; us < 1 << HISTOGRAM_BITS; us = us < 64 ? us + 1 : us * 1.01) {
		unsigned bucket = histogram_bucket((us + 0.25) * 1e-6);
		assert_true(bucket == last || bucket == last + 1);
		last = bucket;
	}
	assert_int_equal(last, HISTOGRAM_BUCKETS - 1);
}

static void takes_any_number(void **state)
{
	(void)state;
	assert_int_equal(histogram_bucket(-1), 0);
	assert_int_equal(histogram_bucket(NAN), 0);
	assert_int_equal(histogram_bucket(1e9), HISTOGRAM_BUCKETS - 1);
	assert_int_equal(histogram_bucket(INFINITY), HISTOGRAM_BUCKETS - 1);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void agrees_with_the_sorted_values(void **state)
{
	(void)state;
	static double values[5000];
	const double quantiles[] = {0, 0.5, 0.95, 0.99, 1};
	srand(1);
	for (size_t i = 0; i < 5000; i++) {
		values[i] = exp(log(20e-6) + log(1e5) * rand() / RAND_MAX);
		add(values[i]);
	}
	qsort(values, 5000, sizeof *values, ascending);
	for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
		double rank = ceil(quantiles[i] * 5000);
		double exact = values[rank < 1 ? 0 : (size_t)rank - 1];
		double said = histogram_quantile(&histogram, quantiles[i]);
		assert_true(fabs(said - exact) <= exact / 16);
	}
}

static void keeps_its_quantiles_when_a_count_is_full(void **state)
{
	(void)state;
	unsigned fast = histogram_bucket(1e-3), slow = histogram_bucket(1);
	histogram.counts[fast] = UINT32_MAX;
	histogram.counts[slow] = UINT32_MAX / 10;
	histogram_count(&histogram, fast);
	assert_int_equal(histogram.counts[fast], UINT32_MAX / 2 + 1);
	assert_true(histogram_quantile(&histogram, 0.9) < 0.002);
	assert_true(histogram_quantile(&histogram, 0.95) > 0.9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(says_zero_of_nothing, empty),
	        cmocka_unit_test_setup(is_off_by_a_sixteenth_at_most, empty),
	        cmocka_unit_test_setup(is_off_by_half_a_microsecond_where_it_is_short, empty),
	        cmocka_unit_test_setup(has_each_bucket_once_and_in_order, empty),
	        cmocka_unit_test_setup(takes_any_number, empty),
	        cmocka_unit_test_setup(agrees_with_the_sorted_values, empty),
	        cmocka_unit_test_setup(keeps_its_quantiles_when_a_count_is_full, empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
