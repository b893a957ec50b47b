/* test_balance.c - loads end up where weights, queues and latencies say. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/balance.h"

#define ROUNDS 30000
#define MOST   4

struct tally {
	unsigned hits[MOST];
};

/* Picks many times from the same candidates, which get credits of their own. */
static struct tally pick_often(enum balance how, const struct candidate *candidates, size_t count)
{
	struct tally tally = {{0}};
	struct candidate with_credit[MOST];
	double credit[MOST] = {0};
	uint64_t random = 42;
	for (size_t i = 0; i < count; i++) {
		with_credit[i] = candidates[i];
		with_credit[i].credit = &credit[i];
	}
	for (unsigned round = 0; round < ROUNDS; round++)
		tally.hits[balance_pick(how, with_credit, count, &random)]++;
	return tally;
}

/* Within 5 % of the share that was expected: at this many rounds, six standard deviations. */
static void assert_share(unsigned hits, double share)
{
	double expected = share * ROUNDS;
	if (fabs(hits - expected) > 0.05 * ROUNDS * fmax(share, 0.2))
		fail_msg("%u hits of %u, not %.0f", hits, ROUNDS, expected);
}

static void weighted_follows_the_weights(void **state)
{
	(void)state;
	struct candidate candidates[] = {
	        {.weight = 2}, {.weight = 1}, {.weight = 0}, {.weight = 5}};
	struct tally tally = pick_often(BALANCE_WEIGHTED, candidates, 4);
	assert_share(tally.hits[0], 2.0 / 8);
	assert_share(tally.hits[1], 1.0 / 8);
	assert_int_equal(tally.hits[2], 0);
	assert_share(tally.hits[3], 5.0 / 8);
}

static void every_way_ignores_weight_0_beside_others(void **state)
{
	(void)state;
	struct candidate candidates[] = {{.weight = 0, .latency = 0.001},
	                                 {.weight = 1, .latency = 0.5, .in_flight = 9},
	                                 {.weight = 0, .latency = 0.001}};
	for (enum balance how = BALANCE_WEIGHTED; how <= BALANCE_LATENCY; how++)
		assert_int_equal(pick_often(how, candidates, 3).hits[1], ROUNDS);
}

static void every_way_spreads_evenly_when_all_weigh_0(void **state)
{
	(void)state;
	struct candidate candidates[] = {{.weight = 0}, {.weight = 0}, {.weight = 0}};
	for (enum balance how = BALANCE_WEIGHTED; how <= BALANCE_LATENCY; how++) {
		struct tally tally = pick_often(how, candidates, 3);
		for (size_t i = 0; i < 3; i++)
			assert_share(tally.hits[i], 1.0 / 3);
	}
}

static void every_way_takes_the_only_one(void **state)
{
	(void)state;
	struct candidate candidate = {.weight = 0, .in_flight = 7};
	for (enum balance how = BALANCE_WEIGHTED; how <= BALANCE_LATENCY; how++)
		assert_int_equal(pick_often(how, &candidate, 1).hits[0], ROUNDS);
}

static void round_robin_is_exact_and_smooth(void **state)
{
	(void)state;
	double credit[3] = {0};
	struct candidate candidates[] = {{.weight = 3, .credit = &credit[0]},
	                                 {.weight = 1, .credit = &credit[1]},
	                                 {.weight = 1, .credit = &credit[2]}};
	const size_t expected[] = {0, 1, 0, 2, 0};
	uint64_t random = 1;
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(balance_pick(BALANCE_ROUND_ROBIN, candidates, 3, &random),
		                 expected[i % 5]);
}

static void round_robin_keeps_its_proportions_when_one_is_away_for_a_while(void **state)
{
	(void)state;
	double credit[3] = {0};
	struct candidate all[] = {{.weight = 1, .credit = &credit[0]},
	                          {.weight = 1, .credit = &credit[1]},
	                          {.weight = 1, .credit = &credit[2]}};
	uint64_t random = 1;
	for (size_t i = 0; i < 100; i++)
		(void)balance_pick(BALANCE_ROUND_ROBIN, all, 2, &random);
	unsigned hits[3] = {0};
	for (size_t i = 0; i < 30; i++)
		hits[balance_pick(BALANCE_ROUND_ROBIN, all, 3, &random)]++;
	for (size_t i = 0; i < 3; i++)
		assert_in_range(hits[i], 9, 11);
}

static void least_in_flight_takes_the_emptiest_for_its_weight(void **state)
{
	(void)state;
	struct candidate candidates[] = {{.weight = 1, .in_flight = 2},
	                                 {.weight = 4, .in_flight = 7},
	                                 {.weight = 1, .in_flight = 3}};
	assert_int_equal(pick_often(BALANCE_LEAST_IN_FLIGHT, candidates, 3).hits[1], ROUNDS);
	candidates[0].in_flight = 1;
	assert_int_equal(pick_often(BALANCE_LEAST_IN_FLIGHT, candidates, 3).hits[0], ROUNDS);
}

static void least_in_flight_settles_ties_by_weight(void **state)
{
	(void)state;
	struct candidate candidates[] = {{.weight = 3}, {.weight = 1}, {.weight = 2}};
	struct tally tally = pick_often(BALANCE_LEAST_IN_FLIGHT, candidates, 3);
	assert_share(tally.hits[0], 3.0 / 6);
	assert_share(tally.hits[1], 1.0 / 6);
	assert_share(tally.hits[2], 2.0 / 6);
}

static void latency_never_takes_the_worst_of_three(void **state)
{
	(void)state;
	struct candidate candidates[] = {{.weight = 1, .latency = 0.002},
	                                 {.weight = 1, .latency = 0.050},
	                                 {.weight = 1, .latency = 0.004}};
	struct tally tally = pick_often(BALANCE_LATENCY, candidates, 3);
	assert_share(tally.hits[0], 2.0 / 3); /* it wins every pair that it is in */
	assert_int_equal(tally.hits[1], 0);
	assert_share(tally.hits[2], 1.0 / 3);
}

static void latency_counts_the_queue(void **state)
{
	(void)state;
	struct candidate candidates[] = {{.weight = 1, .latency = 0.002, .in_flight = 9},
	                                 {.weight = 1, .latency = 0.005, .in_flight = 0}};
	assert_int_equal(pick_often(BALANCE_LATENCY, candidates, 2).hits[1], ROUNDS);
	candidates[0].in_flight = 1;
	assert_int_equal(pick_often(BALANCE_LATENCY, candidates, 2).hits[0], ROUNDS);
}

static void latency_tries_what_was_never_measured_the_emptier_first(void **state)
{
	(void)state;
	struct candidate candidates[] = {{.weight = 1, .latency = 0.002},
	                                 {.weight = 1, .latency = 0, .in_flight = 5}};
	assert_int_equal(pick_often(BALANCE_LATENCY, candidates, 2).hits[1], ROUNDS);
	candidates[0].latency = 0;
	assert_int_equal(pick_often(BALANCE_LATENCY, candidates, 2).hits[0], ROUNDS);
}

static void latency_average_starts_with_the_first_sample_and_follows(void **state)
{
	(void)state;
	double average = balance_latency(0, 0.010);
	assert_near(average, 0.010);
	double after = balance_latency(average, 0.020);
	assert_true(after > 0.010 && after < 0.020);
	for (unsigned i = 0; i < 50; i++)
		after = balance_latency(after, 0.020);
	assert_true(fabs(after - 0.020) < 0.0001);
}

static void latency_average_of_instant_answers_is_still_known(void **state)
{
	(void)state;
	assert_true(balance_latency(0, 0) > 0);
	double average = 0.010;
	for (unsigned i = 0; i < 10000; i++)
		average = balance_latency(average, 0);
	assert_true(average > 0);
}

static void latency_known_within_bounds_moves_no_further_than_they_say(void **state)
{
	(void)state;
	assert_near(balance_latency_within(0.010, 0.001, 2), 0.010);
	assert_near(balance_latency_within(0.010, 0.020, 2), balance_latency(0.010, 0.020));
	assert_near(balance_latency_within(0.010, 0.001, 0.005), balance_latency(0.010, 0.005));
	assert_near(balance_latency_within(0, 0.001, 2), 0); /* still not known */
}
int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(weighted_follows_the_weights),
	        cmocka_unit_test(every_way_ignores_weight_0_beside_others),
	        cmocka_unit_test(every_way_spreads_evenly_when_all_weigh_0),
	        cmocka_unit_test(every_way_takes_the_only_one),
	        cmocka_unit_test(round_robin_is_exact_and_smooth),
	        cmocka_unit_test(round_robin_keeps_its_proportions_when_one_is_away_for_a_while),
	        cmocka_unit_test(least_in_flight_takes_the_emptiest_for_its_weight),
	        cmocka_unit_test(least_in_flight_settles_ties_by_weight),
	        cmocka_unit_test(latency_never_takes_the_worst_of_three),
	        cmocka_unit_test(latency_counts_the_queue),
	        cmocka_unit_test(latency_tries_what_was_never_measured_the_emptier_first),
	        cmocka_unit_test(latency_average_starts_with_the_first_sample_and_follows),
	        cmocka_unit_test(latency_known_within_bounds_moves_no_further_than_they_say),
	        cmocka_unit_test(latency_average_of_instant_answers_is_still_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
