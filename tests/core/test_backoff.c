/* test_backoff.c - delays grow, stop growing, and end. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/backoff.h"

#define PLAIN 0.5 /* the chance that leaves a delay as it is */

static void doubles_from_2_to_32_seconds_by_default(void **state)
{
	(void)state;
	struct backoff_config config = BACKOFF_DEFAULTS;
	const double delays[] = {0, 2, 4, 8, 16, 32, 32};
	for (unsigned failures = 0; failures < sizeof delays / sizeof *delays; failures++)
		assert_near(backoff_delay(&config, failures, PLAIN), delays[failures]);
}

static void is_spent_after_the_fifth_failure_by_default(void **state)
{
	(void)state;
	struct backoff_config config = BACKOFF_DEFAULTS;
	assert_false(backoff_spent(&config, 0));
	assert_false(backoff_spent(&config, 4));
	assert_true(backoff_spent(&config, 5));
	assert_true(backoff_spent(&config, 6));
}

static void is_never_spent_without_a_limit(void **state)
{
	(void)state;
	struct backoff_config config = BACKOFF_DEFAULTS;
	config.attempts = 0;
	assert_false(backoff_spent(&config, 0));
	assert_false(backoff_spent(&config, 4000000000u));
}

static void moves_a_delay_both_ways_by_its_jitter(void **state)
{
	(void)state;
	struct backoff_config config = BACKOFF_DEFAULTS;
	assert_near(backoff_delay(&config, 2, 0), 4 * 0.8);
	assert_near(backoff_delay(&config, 2, 0.75), 4 * 1.1);
	config.jitter = 0;
	assert_near(backoff_delay(&config, 2, 0), 4);
	config.jitter = 1;
	assert_near(backoff_delay(&config, 2, 0), 0);
}

static void jitters_the_longest_delay_too(void **state)
{
	(void)state;
	struct backoff_config config = BACKOFF_DEFAULTS;
	assert_true(backoff_delay(&config, 9, 0.9) > config.max);
	assert_true(backoff_delay(&config, 9, 0.1) < config.max);
}

static void stays_at_the_maximum_after_any_number_of_failures(void **state)
{
	(void)state;
	struct backoff_config config = BACKOFF_DEFAULTS;
	assert_near(backoff_delay(&config, 4000000000u, PLAIN), 32);
	config.factor = 1;
	assert_near(backoff_delay(&config, 4000000000u, PLAIN), 2);
}

static void never_waits_when_the_first_delay_is_none(void **state)
{
	(void)state;
	struct backoff_config config = BACKOFF_DEFAULTS;
	config.initial = 0;
	assert_near(backoff_delay(&config, 1, PLAIN), 0);
	assert_near(backoff_delay(&config, 4000000000u, PLAIN), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(doubles_from_2_to_32_seconds_by_default),
	        cmocka_unit_test(is_spent_after_the_fifth_failure_by_default),
	        cmocka_unit_test(is_never_spent_without_a_limit),
	        cmocka_unit_test(moves_a_delay_both_ways_by_its_jitter),
	        cmocka_unit_test(jitters_the_longest_delay_too),
	        cmocka_unit_test(stays_at_the_maximum_after_any_number_of_failures),
	        cmocka_unit_test(never_waits_when_the_first_delay_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
