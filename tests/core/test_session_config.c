/* test_session_config.c - whose word counts: the user's, its database's, the cluster's. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/session_config.h"

static const struct session_config otherwise = {.mode = POOL_TRANSACTION,
                                                .pool_size = 10,
                                                .query_timeout = 1,
                                                .transaction_timeout = 2,
                                                .idle_transaction_timeout = 3,
                                                .client_idle_timeout = 4};

static const struct session_override users[] = {
        {"report", SESSION_POOL_SIZE | SESSION_QUERY_TIMEOUT, {.pool_size = 2, .query_timeout = 0}},
        {"legacy", SESSION_POOL_MODE, {.mode = POOL_SESSION}},
};

static const struct session_override databases[] = {
        {"app",
         SESSION_POOL_MODE | SESSION_POOL_SIZE | SESSION_TRANSACTION_TIMEOUT |
                 SESSION_IDLE_TRANSACTION_TIMEOUT | SESSION_CLIENT_IDLE_TIMEOUT,
         {.mode = POOL_STATEMENT,
          .pool_size = 5,
          .transaction_timeout = 20,
          .idle_transaction_timeout = 30,
          .client_idle_timeout = 40}},
};

static int make(void **state)
{
	const struct session_overrides by_user = {users, 2}, by_database = {databases, 1};
	*state = session_configs_new(&otherwise, &by_user, &by_database);
	return *state == NULL;
}

static int destroy(void **state)
{
	session_configs_free(*state);
	session_configs_free(NULL);
	return 0;
}

static void nobody_special_gets_the_defaults(void **state)
{
	const struct session_config *c = session_configs_find(*state, "anna", "shop");
	assert_memory_equal(c, &otherwise, sizeof otherwise);
	assert_ptr_equal(session_configs_find(*state, NULL, NULL), c);
}

static void a_database_overrides_what_it_names(void **state)
{
	const struct session_config *c = session_configs_find(*state, "anna", "app");
	assert_int_equal(c->mode, POOL_STATEMENT);
	assert_int_equal(c->pool_size, 5);
	assert_near(c->query_timeout, 1);
	assert_near(c->transaction_timeout, 20);
	assert_near(c->idle_transaction_timeout, 30);
	assert_near(c->client_idle_timeout, 40);
}

static void a_user_wins_over_its_database(void **state)
{
	const struct session_config *c = session_configs_find(*state, "report", "app");
	assert_int_equal(c->pool_size, 2);
	assert_near(c->query_timeout, 0); /* "none" is a word, too */
	assert_int_equal(c->mode, POOL_STATEMENT);
	assert_int_equal(session_configs_find(*state, "legacy", "app")->mode, POOL_SESSION);
	assert_int_equal(session_configs_find(*state, "legacy", "app")->pool_size, 5);
}

static void a_user_overrides_in_any_database(void **state)
{
	assert_int_equal(session_configs_find(*state, "report", "shop")->pool_size, 2);
	assert_int_equal(session_configs_find(*state, "report", NULL)->pool_size, 2);
}

static void one_pair_is_resolved_once(void **state)
{
	const struct session_config *c = session_configs_find(*state, "report", "app");
	assert_ptr_equal(session_configs_find(*state, "report", "app"), c);
	assert_ptr_not_equal(session_configs_find(*state, "report", "shop"), c);
	assert_ptr_equal(session_configs_find(*state, "report", "shop"),
	                 session_configs_find(*state, "report", "bar"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nobody_special_gets_the_defaults),
	        cmocka_unit_test(a_database_overrides_what_it_names),
	        cmocka_unit_test(a_user_wins_over_its_database),
	        cmocka_unit_test(a_user_overrides_in_any_database),
	        cmocka_unit_test(one_pair_is_resolved_once),
	};
	return cmocka_run_group_tests(tests, make, destroy);
}
