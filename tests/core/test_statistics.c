/* test_statistics.c - what is counted of statements and endpoints, and what is forgotten. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/statistics.h"

static struct statistics *statistics;

static int make(void **state)
{
	(void)state;
	statistics = statistics_new();
	return statistics == NULL;
}

static int drop(void **state)
{
	(void)state;
	statistics_free(statistics);
	return 0;
}

static void record(uint64_t fingerprint, unsigned endpoint, double seconds)
{
	const struct sample sample = {.fingerprint = fingerprint,
	                              .kind = SQL_SELECT,
	                              .endpoint = endpoint,
	                              .seconds = seconds,
	                              .rows = 2};
	statistics_record(statistics, &sample);
}

static void knows_nothing_of_what_never_ran(void **state)
{
	(void)state;
	assert_null(statistics_of(statistics, 1));
	assert_int_equal(statistics_on(statistics, 0)->calls, 0);
	assert_near(tally_mean(statistics_on(statistics, 0)), 0);
	statistics_free(NULL);
}

static void counts_a_statement_in_all_and_where_it_ran(void **state)
{
	(void)state;
	record(7, 0, 0.001);
	record(7, 2, 0.003);
	record(8, 2, 0.005);
	statistics_record(statistics, &(struct sample){.fingerprint = 7,
	                                               .endpoint = 2,
	                                               .seconds = 0.002,
	                                               .failed = true});
	const struct statement_tally *t = statistics_of(statistics, 7);
	assert_int_equal(t->kind, SQL_SELECT);
	assert_int_equal(t->all.calls, 3);
	assert_int_equal(t->all.errors, 1);
	assert_int_equal(t->all.rows, 4);
	assert_near(tally_mean(&t->all), 0.002);
	assert_near(t->all.max, 0.003);
	assert_int_equal(t->on[0]->calls, 1);
	assert_null(t->on[1]);
	assert_int_equal(t->on[2]->calls, 2);
	assert_int_equal(t->on[2]->errors, 1);
	assert_int_equal(statistics_on(statistics, 2)->calls, 3);
	assert_int_equal(statistics_on(statistics, 2)->rows, 4);
	assert_true(fabs(histogram_quantile(&t->all.times, 1) - 0.003) < 0.0002);
}

static void counts_for_no_endpoint_what_none_has_answered(void **state)
{
	(void)state;
	record(7, CLUSTER_ENDPOINTS, 0.001);
	assert_int_equal(statistics_of(statistics, 7)->all.calls, 1);
	for (unsigned i = 0; i < CLUSTER_ENDPOINTS; i++)
		assert_null(statistics_of(statistics, 7)->on[i]);
}

static void forgets_the_statement_that_has_not_run_for_longest(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= STATISTICS_STATEMENTS; i++)
		record(i * 1024, 1, 0.001); /* all in one bucket */
	record(1024, 1, 0.001);
	record(1, 1, 0.001);
	assert_non_null(statistics_of(statistics, 1));
	assert_int_equal(statistics_of(statistics, 1024)->all.calls, 2);
	assert_null(statistics_of(statistics, 2048));
	assert_non_null(statistics_of(statistics, UINT64_C(3072)));
	const struct statement_tally *list[STATISTICS_STATEMENTS];
	assert_int_equal(statistics_list(statistics, list), STATISTICS_STATEMENTS);
	assert_int_equal(statistics_on(statistics, 1)->calls, STATISTICS_STATEMENTS + 2);
}

static void knows_a_statement_anew_that_it_had_forgotten(void **state)
{
	(void)state;
	record(1, 3, 0.001);
	for (uint64_t i = 2; i <= STATISTICS_STATEMENTS + 1; i++)
		record(i, 0, 0.001);
	record(1, 0, 0.001);
	assert_int_equal(statistics_of(statistics, 1)->all.calls, 1);
	assert_null(statistics_of(statistics, 1)->on[3]);
}

static unsigned count_splits(void)
{
	const struct statement_tally *list[STATISTICS_STATEMENTS];
	size_t count = statistics_list(statistics, list);
	unsigned splits = 0;
	for (size_t i = 0; i < count; i++)
		for (unsigned k = 0; k < CLUSTER_ENDPOINTS; k++)
			splits += list[i]->on[k] != NULL;
	return splits;
}

static void has_a_limit_on_tallies_per_endpoint_and_counts_on_without(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= STATISTICS_STATEMENTS; i++)
		for (unsigned k = 0; k < 10; k++)
			record(i, k, 0.001);
	assert_int_equal(count_splits(), STATISTICS_SPLITS);
	assert_int_equal(statistics_of(statistics, STATISTICS_STATEMENTS)->all.calls, 10);
	record(1000, 0, 0.001); /* takes the place of one that had ten */
	assert_int_equal(count_splits(), STATISTICS_SPLITS - 10 + 1);
}

static void lists_first_what_took_most_time(void **state)
{
	(void)state;
	record(1, 0, 0.002);
	record(2, 0, 0.001);
	record(2, 0, 0.004);
	record(3, 0, 0.003);
	const struct statement_tally *list[STATISTICS_STATEMENTS];
	assert_int_equal(statistics_list(statistics, list), 3);
	assert_int_equal(list[0]->fingerprint, 2);
	assert_int_equal(list[1]->fingerprint, 3);
	assert_int_equal(list[2]->fingerprint, 1);
}

static void goes_along_when_endpoints_change_places(void **state)
{
	(void)state;
	unsigned before[CLUSTER_ENDPOINTS];
	for (unsigned i = 0; i < CLUSTER_ENDPOINTS; i++)
		before[i] = CLUSTER_ENDPOINTS;
	before[0] = 2;
	before[3] = 0;
	record(1, 0, 0.001);
	record(1, 1, 0.001);
	record(1, 2, 0.001);
	record(1, 2, 0.001);
	statistics_remap(statistics, before);
	const struct statement_tally *t = statistics_of(statistics, 1);
	assert_int_equal(t->all.calls, 4);
	assert_int_equal(t->on[0]->calls, 2);
	assert_null(t->on[1]);
	assert_null(t->on[2]);
	assert_int_equal(t->on[3]->calls, 1);
	assert_int_equal(statistics_on(statistics, 0)->calls, 2);
	assert_int_equal(statistics_on(statistics, 1)->calls, 0);
	assert_int_equal(statistics_on(statistics, 3)->calls, 1);
}

static void forgets_an_endpoint_whose_place_another_takes(void **state)
{
	(void)state;
	record(1, 0, 0.001);
	record(1, 1, 0.001);
	statistics_forget(statistics, 1);
	assert_int_equal(statistics_on(statistics, 1)->calls, 0);
	assert_null(statistics_of(statistics, 1)->on[1]);
	assert_int_equal(statistics_of(statistics, 1)->on[0]->calls, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(knows_nothing_of_what_never_ran),
	        TEST(counts_a_statement_in_all_and_where_it_ran),
	        TEST(counts_for_no_endpoint_what_none_has_answered),
	        TEST(forgets_the_statement_that_has_not_run_for_longest),
	        TEST(knows_a_statement_anew_that_it_had_forgotten),
	        TEST(has_a_limit_on_tallies_per_endpoint_and_counts_on_without),
	        TEST(lists_first_what_took_most_time),
	        TEST(goes_along_when_endpoints_change_places),
	        TEST(forgets_an_endpoint_whose_place_another_takes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
