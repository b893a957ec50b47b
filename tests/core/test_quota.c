/* test_quota.c - how many servers a pool may have, who goes first, and how long servers live. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/pool_config.h"
#include "cluster/quota.h"

static void without_a_limit_is_never_full(void **state)
{
	(void)state;
	assert_false(quota_full(&(struct quota){.limit = 0, .used = 1000000}));
	assert_false(quota_full(&(struct quota){.limit = 3, .used = 2}));
	assert_true(quota_full(&(struct quota){.limit = 3, .used = 3}));
}

static void quotas_of_one_name_are_one_as_long_as_somebody_has_joined(void **state)
{
	(void)state;
	struct quotas *quotas = quotas_new(7);
	struct quota *a = quotas_join(quotas, "app"), *b = quotas_join(quotas, "other");
	assert_int_equal(a->limit, 7);
	assert_string_equal(quota_name(b), "other");
	assert_ptr_not_equal(a, b);
	assert_ptr_equal(quotas_join(quotas, "app"), a);
	a->used = 5;
	quotas_leave(quotas, a);
	assert_ptr_equal(quotas_join(quotas, "app"), a);
	assert_int_equal(a->used, 5);
	quotas_leave(quotas, a);
	quotas_leave(quotas, a);
	assert_int_equal(quotas_join(quotas, "app")->used, 0);
	quotas_leave(quotas, NULL);
	quotas_free(quotas);
	quotas_free(NULL);
}

static bool yields(double holder_since, unsigned holder, double since, unsigned servers)
{
	const struct claim a = {holder_since, holder}, b = {since, servers};
	return quota_yields(&a, &b);
}

static void who_came_first_goes_first(void **state)
{
	(void)state;
	assert_true(yields(10, 1, 9, 0));
	assert_false(yields(9, 1, 10, 0));
	assert_false(yields(9, 1, 9, 0));
}

static void a_pool_that_nobody_waits_for_yields_to_any_other(void **state)
{
	(void)state;
	assert_true(yields(INFINITY, 5, 10, 0));
	assert_true(yields(INFINITY, 1, 10, 100));
	assert_false(yields(INFINITY, 5, INFINITY, 0));
}

/* Else each server would be closed and opened anew after each transaction. */
static void a_pool_serves_its_own_for_a_slice_before_it_makes_room(void **state)
{
	(void)state;
	assert_false(yields(10, 1, 10 - 0.9 * QUOTA_SLICE, 0));
	assert_true(yields(10, 1, 10 - 1.1 * QUOTA_SLICE, 0));
	assert_true(yields(10, 5, 10 - 1.1 * QUOTA_SLICE, 3));
}

static void what_would_not_share_more_evenly_takes_a_long_wait(void **state)
{
	(void)state;
	for (unsigned servers = 4; servers <= 6; servers++) {
		assert_false(yields(10, 5, 10 - 0.9 * QUOTA_PATIENCE, servers));
		assert_true(yields(10, 5, 10 - 1.1 * QUOTA_PATIENCE, servers));
	}
}

static void the_reserve_is_for_those_who_have_waited(void **state)
{
	(void)state;
	struct pool_config c = {.reserve = 2, .reserve_after = 3};
	assert_int_equal(quota_size(&c, 10, 2.9), 10);
	assert_int_equal(quota_size(&c, 10, 3), 12);
	c.reserve = 0;
	assert_int_equal(quota_size(&c, 10, 3), 10);
}

static void lifetimes_differ_by_the_jitter(void **state)
{
	(void)state;
	struct pool_config c = {.max_lifetime = 1000, .lifetime_jitter = 0.1};
	assert_near(quota_lifetime(&c, 0), 1000);
	assert_near(quota_lifetime(&c, 0.5), 950);
	c.lifetime_jitter = 0;
	assert_near(quota_lifetime(&c, 0.5), 1000);
	c.max_lifetime = 0;
	assert_near(quota_lifetime(&c, 0.5), INFINITY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(without_a_limit_is_never_full),
	        cmocka_unit_test(quotas_of_one_name_are_one_as_long_as_somebody_has_joined),
	        cmocka_unit_test(who_came_first_goes_first),
	        cmocka_unit_test(a_pool_that_nobody_waits_for_yields_to_any_other),
	        cmocka_unit_test(a_pool_serves_its_own_for_a_slice_before_it_makes_room),
	        cmocka_unit_test(what_would_not_share_more_evenly_takes_a_long_wait),
	        cmocka_unit_test(the_reserve_is_for_those_who_have_waited),
	        cmocka_unit_test(lifetimes_differ_by_the_jitter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
