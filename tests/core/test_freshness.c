/* test_freshness.c - what a replica's replay position says about the moments it covers. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/freshness.h"

#define NEVER (-INFINITY)
#define PAGE  8192u
#define MIB   (1024u * 1024u)

static void knows_nothing_without_a_report(void **state)
{
	(void)state;
	struct freshness f = {0};
	assert_true(freshness_of(&f, 1, 1000, NEVER) == NEVER);
	assert_true(freshness_of(&f, 0, 1000, NEVER) == NEVER);
	assert_near(freshness_of(&f, 1, 1000, 7), 7);
}

static void is_fresh_as_of_the_last_probe_whose_position_it_has_reached(void **state)
{
	(void)state;
	struct freshness f = {0};
	freshness_primary(&f, 10, 1, 1000);
	freshness_primary(&f, 11, 1, 2000);
	freshness_primary(&f, 12, 1, 3000);
	assert_true(freshness_of(&f, 1, 999, NEVER) == NEVER);
	assert_near(freshness_of(&f, 1, 1000, NEVER), 10);
	assert_near(freshness_of(&f, 1, 1999, NEVER), 10);
	assert_near(freshness_of(&f, 1, 2000, NEVER), 11);
	assert_near(freshness_of(&f, 1, 99999, NEVER), 12);
}

static void never_takes_back_what_was_known(void **state)
{
	(void)state;
	struct freshness f = {0};
	freshness_primary(&f, 10, 1, 1000);
	assert_near(freshness_of(&f, 1, 1000, 12), 12);
	assert_near(freshness_of(&f, 1, 1000, 8), 10);
	assert_near(freshness_of(&f, 1, 1, 8), 8);
}

static void stays_fresh_beside_an_idle_primary(void **state)
{
	(void)state;
	struct freshness f = {0};
	for (double now = 0; now < 1000; now++)
		freshness_primary(&f, now, 1, 5000);
	assert_near(freshness_of(&f, 1, 5000, NEVER), 999);
	assert_true(freshness_of(&f, 1, 4999, NEVER) == NEVER);
}

static void an_idle_primary_does_not_push_history_out(void **state)
{
	(void)state;
	struct freshness f = {0};
	freshness_primary(&f, 1, 1, 1000);
	for (double now = 2; now < 1000; now++)
		freshness_primary(&f, now, 1, 5000);
	assert_near(freshness_of(&f, 1, 1000, NEVER), 1);
}

static void does_not_compare_across_timelines(void **state)
{
	(void)state;
	struct freshness f = {0};
	freshness_primary(&f, 10, 1, 1000);
	assert_true(freshness_of(&f, 2, 5000, NEVER) == NEVER);
	freshness_primary(&f, 11, 2, 3000);
	assert_true(freshness_of(&f, 1, 5000, NEVER) == NEVER);
	assert_true(freshness_of(&f, 2, 2000, NEVER) == NEVER);
	assert_near(freshness_of(&f, 2, 3000, NEVER), 11);
	assert_near(freshness_of(&f, 1, 5000, 10), 10);
}

static void an_overtaken_answer_changes_nothing(void **state)
{
	(void)state;
	struct freshness f = {0};
	freshness_primary(&f, 11, 2, 2000);
	freshness_primary(&f, 10, 2, 1000);
	freshness_primary(&f, 10, 1, 9000);
	assert_true(freshness_of(&f, 2, 1500, NEVER) == NEVER);
	assert_near(freshness_of(&f, 2, 2000, NEVER), 11);
}

static void a_primary_that_lost_its_unflushed_tail_starts_from_there(void **state)
{
	(void)state;
	struct freshness f = {0};
	freshness_primary(&f, 10, 1, 1000);
	freshness_primary(&f, 11, 1, 2000);
	freshness_primary(&f, 12, 1, 3000);
	freshness_primary(&f, 20, 1, 1500);
	assert_near(freshness_of(&f, 1, 1400, NEVER), 10);
	assert_near(freshness_of(&f, 1, 1500, NEVER), 20);
}

static void a_long_history_gets_coarser_but_stays_right(void **state)
{
	(void)state;
	struct freshness f = {0};
	const unsigned probes = 10 * FRESHNESS_SAMPLES;
	for (unsigned i = 1; i <= probes; i++) {
		freshness_primary(&f, i, 1, i * 1000);
		assert_near(freshness_of(&f, 1, i * 1000, NEVER), i);
	}
	/* Never later than the truth, and three times as far back as every probe would have gone.
	 */
	for (unsigned i = 1; i <= probes; i++)
		assert_true(freshness_of(&f, 1, i * 1000 + 1, NEVER) <= i);
	unsigned long_ago = probes - 3 * FRESHNESS_SAMPLES;
	assert_true(freshness_of(&f, 1, long_ago * 1000, NEVER) > long_ago - 32);
}

static void a_page_header_that_no_record_needed_yet_counts_as_reached(void **state)
{
	(void)state;
	struct freshness f = {0};
	freshness_primary(&f, 10, 1, 16 * MIB + 5 * PAGE + 24);
	assert_near(freshness_of(&f, 1, 16 * MIB + 5 * PAGE, NEVER), 10);
	assert_true(freshness_of(&f, 1, 16 * MIB + 5 * PAGE - 8, NEVER) == NEVER);
}

static void only_headers_are_taken_off_a_position(void **state)
{
	(void)state;
	const uint64_t segment = 3ull * 16 * MIB;
	assert_int_equal(freshness_reachable(segment + 40, 0), segment);
	assert_int_equal(freshness_reachable(segment + 24, 0), segment + 24);
	assert_int_equal(freshness_reachable(segment + 48, 0), segment + 48);
	assert_int_equal(freshness_reachable(segment, 0), segment);
	assert_int_equal(freshness_reachable(segment + PAGE + 24, 0), segment + PAGE);
	assert_int_equal(freshness_reachable(segment + PAGE + 40, 0), segment + PAGE + 40);
	assert_int_equal(freshness_reachable(segment + PAGE + 32, 0), segment + PAGE + 32);
	assert_int_equal(freshness_reachable(segment - PAGE + 24, 0), segment - PAGE);
}

static void segments_of_another_size_begin_elsewhere(void **state)
{
	(void)state;
	assert_int_equal(freshness_reachable(3ull * MIB + 40, MIB), 3ull * MIB);
	assert_int_equal(freshness_reachable(3ull * MIB + 40, 0), 3ull * MIB + 40);
	struct freshness f = {.segment_size = MIB};
	freshness_primary(&f, 10, 1, 3ull * MIB + 40);
	assert_near(freshness_of(&f, 1, 3ull * MIB, NEVER), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(knows_nothing_without_a_report),
	        cmocka_unit_test(is_fresh_as_of_the_last_probe_whose_position_it_has_reached),
	        cmocka_unit_test(never_takes_back_what_was_known),
	        cmocka_unit_test(stays_fresh_beside_an_idle_primary),
	        cmocka_unit_test(an_idle_primary_does_not_push_history_out),
	        cmocka_unit_test(does_not_compare_across_timelines),
	        cmocka_unit_test(an_overtaken_answer_changes_nothing),
	        cmocka_unit_test(a_primary_that_lost_its_unflushed_tail_starts_from_there),
	        cmocka_unit_test(a_long_history_gets_coarser_but_stays_right),
	        cmocka_unit_test(a_page_header_that_no_record_needed_yet_counts_as_reached),
	        cmocka_unit_test(only_headers_are_taken_off_a_position),
	        cmocka_unit_test(segments_of_another_size_begin_elsewhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
