/* test_breaker.c - when traffic gives an endpoint up, and when it tries it again. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/breaker.h"

static const struct breaker_config config = {
        .failures = 5, .window = 10, .ratio = 0.5, .pause = 5, .trials = 3};

static bool fail_times(struct breaker *b, unsigned times, double now)
{
	bool changed = false;
	for (unsigned i = 0; i < times; i++)
		changed = breaker_failure(b, &config, now);
	return changed;
}

static void succeed_times(struct breaker *b, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		assert_false(breaker_success(b, &config));
}

static struct breaker open_at(double now)
{
	struct breaker b = {0};
	assert_true(fail_times(&b, 5, now));
	return b;
}

static void is_closed_at_first(void **state)
{
	(void)state;
	struct breaker b = {0};
	assert_int_equal(b.state, BREAKER_CLOSED);
	assert_true(breaker_allows(&b, &config, 100));
}

static void opens_after_so_many_failures(void **state)
{
	(void)state;
	struct breaker b = {0};
	assert_false(fail_times(&b, 4, 100));
	assert_true(breaker_allows(&b, &config, 100));
	assert_true(breaker_failure(&b, &config, 101));
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_false(breaker_allows(&b, &config, 101));
	assert_false(breaker_allows(&b, &config, 105.9));
	assert_false(breaker_failure(&b, &config, 102)); /* known already */
}

static void failures_leave_the_window(void **state)
{
	(void)state;
	struct breaker b = {0};
	for (double now = 100; now < 200; now += 2.6)
		assert_false(breaker_failure(&b, &config, now));
	assert_int_equal(b.state, BREAKER_CLOSED);
}

static void failures_within_the_window_add_up(void **state)
{
	(void)state;
	struct breaker b = {0};
	for (unsigned i = 0; i < 4; i++)
		assert_false(breaker_failure(&b, &config, 100 + 2 * i));
	assert_true(breaker_failure(&b, &config, 108));
}

static void many_successes_outweigh_failures(void **state)
{
	(void)state;
	struct breaker b = {0};
	(void)breaker_failure(&b, &config, 100);
	for (unsigned i = 0; i < 50; i++) {
		succeed_times(&b, 2);
		assert_false(breaker_failure(&b, &config, 100 + 0.1 * i));
	}
	assert_int_equal(b.state, BREAKER_CLOSED);
}

static void half_of_all_is_too_much(void **state)
{
	(void)state;
	struct breaker b = {0};
	bool opened = false;
	for (unsigned i = 0; i < 10 && !opened; i++) {
		opened = breaker_failure(&b, &config, 100 + 0.1 * i);
		if (!opened)
			succeed_times(&b, 1);
	}
	assert_true(opened);
}

static void successes_of_long_ago_count_for_nothing(void **state)
{
	(void)state;
	struct breaker b = {0};
	(void)breaker_failure(&b, &config, 100);
	succeed_times(&b, 1000000);
	assert_true(fail_times(&b, 5, 120));
}

static void lets_some_through_after_the_pause(void **state)
{
	(void)state;
	struct breaker b = open_at(100);
	assert_true(breaker_allows(&b, &config, 105));
	for (unsigned i = 0; i < config.trials; i++) {
		assert_true(breaker_allows(&b, &config, 105));
		breaker_try(&b, &config, 105);
		assert_int_equal(b.state, BREAKER_HALF_OPEN);
	}
	assert_false(breaker_allows(&b, &config, 105));
}

static void closes_when_these_succeed(void **state)
{
	(void)state;
	struct breaker b = open_at(100);
	breaker_try(&b, &config, 105);
	succeed_times(&b, 2);
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
	assert_true(breaker_success(&b, &config));
	assert_int_equal(b.state, BREAKER_CLOSED);
	assert_false(fail_times(&b, 4, 106)); /* it begins anew */
}

static void opens_again_when_one_fails(void **state)
{
	(void)state;
	struct breaker b = open_at(100);
	breaker_try(&b, &config, 105);
	succeed_times(&b, 2);
	assert_true(breaker_failure(&b, &config, 106));
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_false(breaker_allows(&b, &config, 110.9));
	assert_true(breaker_allows(&b, &config, 111));
}

static void trials_of_which_nothing_is_heard_do_not_block_it_for_ever(void **state)
{
	(void)state;
	struct breaker b = open_at(100);
	for (unsigned i = 0; i < config.trials; i++)
		breaker_try(&b, &config, 105);
	assert_false(breaker_allows(&b, &config, 109));
	assert_true(breaker_allows(&b, &config, 110));
	breaker_try(&b, &config, 110);
	assert_int_equal(b.tried, 1);
}

static void successes_while_it_is_open_change_nothing(void **state)
{
	(void)state;
	struct breaker b = open_at(100);
	breaker_try(&b, &config, 101); /* for there was no other endpoint */
	succeed_times(&b, 100);
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_false(breaker_allows(&b, &config, 101));
}

static void may_be_off(void **state)
{
	(void)state;
	struct breaker_config off = config;
	struct breaker b = {0};
	off.failures = 0;
	for (unsigned i = 0; i < 1000; i++)
		assert_false(breaker_failure(&b, &off, 100));
	assert_int_equal(b.state, BREAKER_CLOSED);
}

static void names_its_states(void **state)
{
	(void)state;
	assert_string_equal(breaker_state_name(BREAKER_CLOSED), "closed");
	assert_string_equal(breaker_state_name(BREAKER_OPEN), "open");
	assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half_open");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(is_closed_at_first),
	        cmocka_unit_test(opens_after_so_many_failures),
	        cmocka_unit_test(failures_leave_the_window),
	        cmocka_unit_test(failures_within_the_window_add_up),
	        cmocka_unit_test(many_successes_outweigh_failures),
	        cmocka_unit_test(half_of_all_is_too_much),
	        cmocka_unit_test(successes_of_long_ago_count_for_nothing),
	        cmocka_unit_test(lets_some_through_after_the_pause),
	        cmocka_unit_test(closes_when_these_succeed),
	        cmocka_unit_test(opens_again_when_one_fails),
	        cmocka_unit_test(trials_of_which_nothing_is_heard_do_not_block_it_for_ever),
	        cmocka_unit_test(successes_while_it_is_open_change_nothing),
	        cmocka_unit_test(may_be_off),
	        cmocka_unit_test(names_its_states),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
