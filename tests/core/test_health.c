/* test_health.c - when an endpoint may be used, and when it is tried. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/health.h"

#define PLAIN 0.5 /* the chance that leaves a delay as it is */

/* HEALTH_DEFAULTS, which is no constant expression. */
static const struct health_config config = {
        .interval = 1,
        .timeout = 1,
        .fall = 3,
        .rise = 2,
        .slow_start = 10,
        .backoff = {.initial = 2, .factor = 2, .max = 32, .attempts = 5, .jitter = 0.2}};

static enum health_change succeed(struct health *h, double now)
{
	return health_report(h, &config, true, now, PLAIN);
}

static enum health_change fail_at(struct health *h, double now)
{
	return health_report(h, &config, false, now, PLAIN);
}

/* Fails until it is down, at `now`. */
static struct health down_at(double now)
{
	struct health h = {0};
	succeed(&h, now - 1);
	for (unsigned i = 0; i < config.fall; i++)
		(void)fail_at(&h, now);
	return h;
}

/* Fails whenever it is tried, until it is given up. */
static struct health failed_at(double *now)
{
	struct health h = down_at(*now);
	while (h.state == HEALTH_DOWN) {
		*now = h.next;
		(void)fail_at(&h, *now);
	}
	return h;
}

static void is_usable_before_the_first_report_and_due_at_once(void **state)
{
	(void)state;
	struct health h = {0};
	assert_int_equal(h.state, HEALTH_STARTING);
	assert_true(health_usable(&h));
	assert_true(h.next <= 100);
}

static void comes_up_with_the_first_success(void **state)
{
	(void)state;
	struct health h = {0};
	assert_int_equal(succeed(&h, 100), HEALTH_WENT_UP);
	assert_int_equal(h.state, HEALTH_UP);
	assert_near(h.changed, 100);
	assert_near(h.next, 101);
	assert_int_equal(succeed(&h, 101), HEALTH_SAME);
	assert_near(h.changed, 100);
}

static void goes_down_after_fall_failures(void **state)
{
	(void)state;
	struct health h = {0};
	succeed(&h, 99);
	assert_int_equal(fail_at(&h, 100), HEALTH_SAME);
	assert_int_equal(fail_at(&h, 101), HEALTH_SAME);
	assert_true(health_usable(&h));
	assert_near(h.next, 102);
	assert_int_equal(fail_at(&h, 102), HEALTH_WENT_DOWN);
	assert_false(health_usable(&h));
	assert_near(h.changed, 102);
}

static void goes_down_from_starting_too(void **state)
{
	(void)state;
	struct health h = {0};
	(void)fail_at(&h, 100);
	(void)fail_at(&h, 101);
	assert_true(health_usable(&h));
	assert_int_equal(fail_at(&h, 102), HEALTH_WENT_DOWN);
}

static void forgives_failures_that_are_not_in_a_row(void **state)
{
	(void)state;
	struct health h = {0};
	for (double now = 100; now < 130; now += 3) {
		assert_int_not_equal(fail_at(&h, now), HEALTH_WENT_DOWN);
		assert_int_not_equal(fail_at(&h, now + 1), HEALTH_WENT_DOWN);
		(void)succeed(&h, now + 2);
	}
	assert_int_equal(h.state, HEALTH_UP);
}

static void comes_back_after_rise_successes_an_interval_apart(void **state)
{
	(void)state;
	struct health h = down_at(100);
	assert_int_equal(succeed(&h, 102), HEALTH_SAME);
	assert_false(health_usable(&h));
	assert_near(h.next, 103);
	assert_int_equal(succeed(&h, 103), HEALTH_WENT_UP);
	assert_true(health_usable(&h));
}

static void counts_successes_anew_after_a_failure(void **state)
{
	(void)state;
	struct health h = down_at(100);
	(void)succeed(&h, 102);
	(void)fail_at(&h, 103);
	assert_int_equal(succeed(&h, 110), HEALTH_SAME);
	assert_int_equal(succeed(&h, 111), HEALTH_WENT_UP);
}

static void is_tried_five_times_further_and_further_apart_then_given_up(void **state)
{
	(void)state;
	struct health h = down_at(100);
	const double delays[] = {2, 4, 8, 16, 32};
	double now = 100;
	for (unsigned attempt = 0; attempt < 5; attempt++) {
		assert_int_equal(h.state, HEALTH_DOWN);
		assert_near(h.next - now, delays[attempt]);
		now = h.next;
		enum health_change change = fail_at(&h, now);
		assert_int_equal(change, attempt < 4 ? HEALTH_SAME : HEALTH_GAVE_UP);
	}
	assert_int_equal(h.state, HEALTH_FAILED);
	assert_false(health_usable(&h));
	assert_true(isinf(h.next));
}

static void hears_of_one_death_many_times_without_counting_attempts(void **state)
{
	(void)state;
	struct health h = down_at(100);
	for (unsigned lost = 0; lost < 100; lost++)
		assert_int_equal(fail_at(&h, 100.01), HEALTH_SAME);
	assert_int_equal(h.state, HEALTH_DOWN);
	assert_int_equal(h.attempts, 0);
	assert_near(h.next, 102);
}

static void moves_trials_by_chance(void **state)
{
	(void)state;
	struct health h = {0};
	for (unsigned i = 0; i < config.fall; i++)
		(void)health_report(&h, &config, false, 100, 0);
	assert_near(h.next, 100 + 2 * 0.8);
}

static void starts_the_attempts_anew_when_it_goes_down_again(void **state)
{
	(void)state;
	struct health h = down_at(100);
	(void)fail_at(&h, 102);
	(void)succeed(&h, 106);
	(void)succeed(&h, 107);
	for (unsigned i = 0; i < config.fall; i++)
		(void)fail_at(&h, 200);
	assert_int_equal(h.state, HEALTH_DOWN);
	assert_near(h.next, 202);
}

static void is_tried_on_demand_only_when_failed(void **state)
{
	(void)state;
	struct health h = {0};
	assert_false(health_demand(&h, &config, 1000));
	succeed(&h, 1000);
	assert_false(health_demand(&h, &config, 2000));
	h = down_at(2000);
	assert_false(health_demand(&h, &config, 3000));
}

static void is_tried_on_demand_once_per_longest_delay(void **state)
{
	(void)state;
	double now = 100;
	struct health h = failed_at(&now);
	assert_false(health_demand(&h, &config, now + 31));
	assert_true(health_demand(&h, &config, now + 33));
	assert_false(health_demand(&h, &config, now + 33));
	assert_false(health_demand(&h, &config, now + 64));
	assert_true(health_demand(&h, &config, now + 66));
}

static void comes_back_from_failed(void **state)
{
	(void)state;
	double now = 100;
	struct health h = failed_at(&now);
	assert_true(health_demand(&h, &config, now + 50));
	assert_int_equal(succeed(&h, now + 50), HEALTH_SAME);
	assert_near(h.next, now + 51);
	assert_false(health_demand(&h, &config, now + 500)); /* a trial is set already */
	assert_int_equal(succeed(&h, now + 51), HEALTH_WENT_UP);
	assert_true(health_usable(&h));
}

static void waits_for_demand_again_when_a_trial_fails(void **state)
{
	(void)state;
	double now = 100;
	struct health h = failed_at(&now);
	(void)succeed(&h, now + 50);
	assert_int_equal(fail_at(&h, now + 51), HEALTH_SAME);
	assert_int_equal(h.state, HEALTH_FAILED);
	assert_true(isinf(h.next));
	assert_false(health_demand(&h, &config, now + 52));
	assert_true(health_demand(&h, &config, now + 84));
}

static void is_never_given_up_without_a_limit_of_attempts(void **state)
{
	(void)state;
	struct health_config patient = config;
	patient.backoff.attempts = 0;
	struct health h = {0};
	for (unsigned i = 0; i < 1000; i++)
		assert_int_not_equal(health_report(&h, &patient, false, h.next, PLAIN),
		                     HEALTH_GAVE_UP);
	assert_int_equal(h.state, HEALTH_DOWN);
}

static void gets_its_weight_back_bit_by_bit(void **state)
{
	(void)state;
	struct health h = down_at(100);
	(void)succeed(&h, 102);
	(void)succeed(&h, 103);
	assert_near(health_share(&h, &config, 103), HEALTH_LEAST_SHARE);
	assert_near(health_share(&h, &config, 103.5), HEALTH_LEAST_SHARE);
	assert_near(health_share(&h, &config, 108), 0.5);
	assert_near(health_share(&h, &config, 112), 0.9);
	assert_near(health_share(&h, &config, 113), 1);
	assert_near(health_share(&h, &config, 1000), 1);
}

static void has_its_whole_weight_at_the_start(void **state)
{
	(void)state;
	struct health h = {0};
	assert_near(health_share(&h, &config, 100), 1);
	(void)succeed(&h, 100);
	assert_near(health_share(&h, &config, 100), 1);
}

static void has_its_whole_weight_at_once_without_slow_start(void **state)
{
	(void)state;
	struct health_config quick = config;
	struct health h = down_at(100);
	quick.slow_start = 0;
	(void)health_report(&h, &quick, true, 102, PLAIN);
	(void)health_report(&h, &quick, true, 103, PLAIN);
	assert_true(health_usable(&h));
	assert_near(health_share(&h, &quick, 103), 1);
}

static void one_suspicion_counts_once_and_never_takes_it_down(void **state)
{
	(void)state;
	struct health h = {0};
	struct health_config strict = config;
	(void)succeed(&h, 100);
	for (unsigned lost = 0; lost < 10; lost++)
		health_suspect(&h, &config);
	assert_int_equal(h.failures, 1);
	assert_true(health_usable(&h));
	(void)fail_at(&h, 100);
	assert_int_equal(fail_at(&h, 101), HEALTH_WENT_DOWN);
	strict.fall = 1;
	h = (struct health){0};
	health_suspect(&h, &strict);
	assert_true(health_usable(&h));
	assert_int_equal(h.failures, 0);
}

static void is_tried_at_once_for_a_reason(void **state)
{
	(void)state;
	double now = 100;
	struct health h = down_at(now);
	health_retry(&h, 100.5);
	assert_near(h.next, 100.5);
	h = failed_at(&now);
	health_retry(&h, now + 1);
	assert_near(h.next, now + 1);
	h = (struct health){0};
	(void)succeed(&h, 100);
	health_retry(&h, 100.5);
	assert_near(h.next, 101);
}

static void names_its_states(void **state)
{
	(void)state;
	assert_string_equal(health_state_name(HEALTH_STARTING), "starting");
	assert_string_equal(health_state_name(HEALTH_UP), "up");
	assert_string_equal(health_state_name(HEALTH_DOWN), "down");
	assert_string_equal(health_state_name(HEALTH_FAILED), "failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(is_usable_before_the_first_report_and_due_at_once),
	        cmocka_unit_test(comes_up_with_the_first_success),
	        cmocka_unit_test(goes_down_after_fall_failures),
	        cmocka_unit_test(goes_down_from_starting_too),
	        cmocka_unit_test(forgives_failures_that_are_not_in_a_row),
	        cmocka_unit_test(comes_back_after_rise_successes_an_interval_apart),
	        cmocka_unit_test(counts_successes_anew_after_a_failure),
	        cmocka_unit_test(is_tried_five_times_further_and_further_apart_then_given_up),
	        cmocka_unit_test(hears_of_one_death_many_times_without_counting_attempts),
	        cmocka_unit_test(moves_trials_by_chance),
	        cmocka_unit_test(starts_the_attempts_anew_when_it_goes_down_again),
	        cmocka_unit_test(is_tried_on_demand_only_when_failed),
	        cmocka_unit_test(is_tried_on_demand_once_per_longest_delay),
	        cmocka_unit_test(comes_back_from_failed),
	        cmocka_unit_test(waits_for_demand_again_when_a_trial_fails),
	        cmocka_unit_test(is_never_given_up_without_a_limit_of_attempts),
	        cmocka_unit_test(gets_its_weight_back_bit_by_bit),
	        cmocka_unit_test(has_its_whole_weight_at_the_start),
	        cmocka_unit_test(has_its_whole_weight_at_once_without_slow_start),
	        cmocka_unit_test(one_suspicion_counts_once_and_never_takes_it_down),
	        cmocka_unit_test(is_tried_at_once_for_a_reason),
	        cmocka_unit_test(names_its_states),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
