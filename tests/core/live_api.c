/* live_api.c - moongate.h on a real PostgreSQL: tests/lua/capi_spec.lua runs it with DATABASE_URL
 * and DATABASE_REPLICA_URL (one) of a throwaway cluster. */
/* SPDX-License-Identifier: MIT */
#include "api_fixture.h"

static struct heard answer(struct api *a, const struct moongate_statement *statement)
{
	struct heard heard = {0};
	assert_non_null(moongate_query(a->c, statement, on_done, &heard));
	wait_for(a, &heard, 1);
	return heard;
}

static struct heard answer_on(struct api *a, struct moongate_connection *connection,
                              const char *sql)
{
	struct heard heard = {0};
	const struct moongate_statement statement = {.sql = sql};
	assert_non_null(moongate_query_on(connection, &statement, on_done, &heard));
	wait_for(a, &heard, 1);
	return heard;
}

static struct moongate_connection *borrow(struct api *a, enum moongate_intent intent)
{
	struct heard heard = {0};
	assert_non_null(moongate_borrow(a->c, intent, on_done, &heard));
	wait_for(a, &heard, 1);
	assert_string_equal("", heard.message);
	assert_non_null(heard.connection);
	return heard.connection;
}

static void assert_value(const char *value, const struct heard *heard)
{
	assert_string_equal("", heard->message);
	assert_string_equal(value, heard->value);
}

/* What the URL ends with, up to the database. */
static bool is_at(const struct heard *heard, const char *variable)
{
	return strstr(getenv(variable), heard->endpoint) && *heard->endpoint;
}

static void takes_text_binary_and_null(void **state)
{
	struct api *a = *state;
	char seven[] = "7";
	const char *values[] = {seven, "\0\1", NULL};
	const struct moongate_statement statement = {
	        .sql = "select concat_ws(',', $1::int + 1, encode($2::bytea, 'hex'), $3::text is "
	               "null)",
	        .count = 3,
	        .values = values,
	        .lengths = (const int[]){0, 2, 0},
	        .formats = (const int[]){0, 1, 0},
	        .types = (const Oid[]){23, 0, 0}};
	struct heard heard = {.keeps = true};
	assert_non_null(moongate_query(a->c, &statement, on_done, &heard));
	seven[0] = 'x'; /* it was copied */
	values[1] = NULL;
	wait_for(a, &heard, 1);
	assert_value("8,0001,t", &heard);
	assert_string_equal("8,0001,t", PQgetvalue(heard.kept, 0, 0));
	PQclear(heard.kept);
}

static void reads_on_the_replica_and_writes_on_the_primary(void **state)
{
	struct api *a = *state;
	struct heard heard = answer(a, &(struct moongate_statement){.sql = "select 1"});
	assert_true(is_at(&heard, "DATABASE_REPLICA_URL"));
	heard = answer(a, &(struct moongate_statement){.sql = "create table if not exists live_api "
	                                                      "(id int); truncate live_api"});
	assert_true(is_at(&heard, "DATABASE_URL"));
	for (int i = 1; i <= 20; i++) {
		char count[16];
		snprintf(count, sizeof count, "%d", i);
		heard = answer(
		        a, &(struct moongate_statement){.sql = "insert into live_api values (1)"});
		assert_string_equal("", heard.message);
		heard = answer(
		        a, &(struct moongate_statement){.sql = "select count(*) from live_api"});
		assert_value(count, &heard);
	}
}

static void obeys_the_intent_that_is_given(void **state)
{
	struct api *a = *state;
	struct heard heard = answer(
	        a, &(struct moongate_statement){.sql = "select 1", .intent = MOONGATE_WRITE});
	assert_true(is_at(&heard, "DATABASE_URL"));
	moongate_close(a->c); /* which counted that as a write */
	open_at(a, getenv("DATABASE_URL"), getenv("DATABASE_REPLICA_URL"));
	heard = answer(a, &(struct moongate_statement){.sql = "select pg_is_in_recovery()",
	                                               .intent = MOONGATE_READ});
	assert_value("t", &heard);
}

static void on_error(struct moongate_result *r, void *arg)
{
	const char **constraint = arg;
	assert_string_equal("22012", r->sqlstate);
	assert_string_equal("division by zero", r->message);
	assert_string_equal("ERROR", PQresultErrorField(r->rows, PG_DIAG_SEVERITY_NONLOCALIZED));
	*constraint = "told";
}

static void tells_what_postgresql_said(void **state)
{
	struct api *a = *state;
	const char *told = NULL;
	moongate_query(a->c, &(struct moongate_statement){.sql = "select 1 / 0"}, on_error, &told);
	while (!told)
		ev_run(a->loop, EVRUN_ONCE);
}

static void advises_in_its_own_words(void **state)
{
	struct api *a = *state;
	const char *const copy = "no function of moongate.h takes COPY";
	struct moongate_connection *connection = borrow(a, MOONGATE_WRITE);
	struct heard heard =
	        answer(a, &(struct moongate_statement){.sql = "copy (select 1) to stdout"});
	assert_string_equal("0A000", heard.sqlstate);
	assert_non_null(strstr(heard.message, copy));
	heard = answer_on(a, connection, "copy (select 1) to stdout");
	assert_string_equal("0A000", heard.sqlstate);
	assert_non_null(strstr(heard.message, copy));
	moongate_release(connection);
	heard = answer(a, &(struct moongate_statement){.sql = "begin"});
	assert_string_equal("25000", heard.sqlstate);
	assert_non_null(strstr(heard.message, "use moongate_borrow() and moongate_query_on()"));
}

static void runs_a_transaction_on_a_connection(void **state)
{
	struct api *a = *state;
	struct moongate_connection *connection = borrow(a, MOONGATE_WRITE);
	answer_on(a, connection, "create table if not exists live_tx (id int); truncate live_tx");
	answer_on(a, connection, "begin");
	struct heard heard =
	        answer_on(a, connection, "insert into live_tx values (1) returning id");
	assert_value("1", &heard);
	heard = answer(a, &(struct moongate_statement){.sql = "select count(*) from live_tx",
	                                               .intent = MOONGATE_WRITE});
	assert_value("0", &heard);
	answer_on(a, connection, "commit");
	moongate_release(connection);
	heard = answer(a, &(struct moongate_statement){.sql = "select count(*) from live_tx"});
	assert_value("1", &heard);
}

static void rolls_back_what_is_released_in_a_transaction(void **state)
{
	struct api *a = *state;
	struct moongate_connection *connection = borrow(a, MOONGATE_WRITE);
	answer_on(a, connection, "create table if not exists live_tx (id int); truncate live_tx");
	answer_on(a, connection, "begin; insert into live_tx values (1)");
	moongate_release(connection);
	struct heard heard =
	        answer(a, &(struct moongate_statement){.sql = "select count(*) from live_tx"});
	assert_value("0", &heard);
}

static void runs_one_statement_at_a_time(void **state)
{
	struct api *a = *state;
	struct heard first = {0}, second = {0}, third = {0};
	const struct moongate_statement slow = {.sql = "select pg_sleep(0.05)"};
	struct moongate_connection *connection = borrow(a, MOONGATE_READ);
	moongate_query_on(connection, &slow, on_done, &first);
	moongate_query_on(connection, &slow, on_done, &second);
	wait_for(a, &second, 1);
	wait_for(a, &first, 1);
	assert_string_equal("55006", second.sqlstate);
	assert_string_equal("", first.sqlstate);
	moongate_query_on(connection, &slow, on_done, &third);
	moongate_release(connection);
	wait_for(a, &third, 1);
	assert_string_equal("08003", third.sqlstate);
}

static void says_that_a_connection_was_lost(void **state)
{
	struct api *a = *state;
	struct moongate_connection *connection = borrow(a, MOONGATE_WRITE);
	struct heard heard = answer_on(a, connection, "select pg_backend_pid()");
	const struct moongate_statement statement = {.sql = "select pg_terminate_backend($1)",
	                                             .count = 1,
	                                             .values = (const char *[]){heard.value}};
	heard = answer(a, &statement);
	assert_value("t", &heard);
	while (strcmp(heard.sqlstate, "08006") != 0) /* until its end has been heard of */
		heard = answer_on(a, connection, "select 1");
	heard = answer_on(a, connection, "select 1");
	assert_non_null(strstr(heard.message, "the connection was lost"));
	moongate_release(connection);
}

static void releases_after_all_has_gone(void **state)
{
	struct api *a = *state;
	struct moongate_connection *one = borrow(a, MOONGATE_WRITE),
	                           *two = borrow(a, MOONGATE_READ);
	struct heard heard = {0};
	const struct moongate_statement statement = {.sql = "select pg_sleep(30)"};
	moongate_query_on(one, &statement, on_done, &heard);
	ev_run(a->loop, EVRUN_NOWAIT);
	moongate_close(a->c);
	assert_null(moongate_query_on(one, &statement, on_done, &heard));
	moongate_release(one);
	wait_for(a, &heard, 1);
	assert_string_equal("57P01", heard.sqlstate);
	moongate_free(a->m);
	a->m = NULL;
	moongate_release(two);
}

/* Nothing runs there any more that says so. */
static void wait_until_nobody_runs(struct api *a, const char *what)
{
	struct heard heard;
	char sql[200];
	snprintf(sql, sizeof sql,
	         "select count(*) from pg_stat_activity where query like '%%%s%%' "
	         "and state = 'active' and pid <> pg_backend_pid()",
	         what);
	do
		heard = answer(a,
		               &(struct moongate_statement){.sql = sql, .intent = MOONGATE_WRITE});
	while (strcmp(heard.value, "0") != 0);
}

static void cancels_in_postgresql(void **state)
{
	struct api *a = *state;
	struct heard heard = {0};
	const struct moongate_statement statement = {.sql = "select pg_sleep(30) as live_cancel",
	                                             .intent = MOONGATE_WRITE};
	struct moongate_pending *pending = moongate_query(a->c, &statement, on_done, &heard);
	for (int i = 0; i < 5; i++)
		answer(a, &(struct moongate_statement){.sql = "select 1"});
	moongate_cancel(pending);
	wait_until_nobody_runs(a, "live_cancel");
	assert_int_equal(0, heard.times);
}

static void gives_up_what_takes_too_long(void **state)
{
	struct api *a = *state;
	struct heard heard =
	        answer(a, &(struct moongate_statement){.sql = "select pg_sleep(30) as live_timeout",
	                                               .timeout = 0.1});
	assert_string_equal("57014", heard.sqlstate);
	/* With a connection that is open already it is surely sent in time. */
	answer(a, &(struct moongate_statement){.sql = "select 1", .intent = MOONGATE_WRITE});
	heard = answer(a, &(struct moongate_statement){.sql = "select pg_sleep(30) as live_timeout",
	                                               .intent = MOONGATE_WRITE,
	                                               .timeout = 0.1});
	assert_string_equal("08007", heard.sqlstate);
	assert_non_null(strstr(heard.message, "outcome is unknown"));
	wait_until_nobody_runs(a, "live_timeout");
}

static void closes_with_queries_on_the_way(void **state)
{
	struct api *a = *state;
	struct heard heard[20] = {{0}};
	for (size_t i = 0; i < 20; i++)
		query(a, i % 2 ? "select pg_sleep(0.01)" : "select 1", &heard[i]);
	heard[6].closes = a->c;
	for (size_t i = 0; i < 20; i++)
		wait_for(a, &heard[i], 1);
	ev_run(a->loop, 0);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(1, heard[i].times);
}

static void asks_a_policy_about_statements_and_blocks(void **state)
{
	struct api *a = *state;
	char script[1024];
	moongate_close(a->c);
	snprintf(script, sizeof script,
	         "local moongate = require 'moongate' "
	         "local policy = function(cluster) "
	         "local writes = cluster:route { to = 'primary' } "
	         "return function(query) if query.kind == 'delete' then return moongate.reject("
	         "'nothing is deleted here', 'MG001') end "
	         "return writes end end "
	         "return moongate.router { cluster = moongate.cluster "
	         "{ primary = '%s', replicas = { '%s' }, policy = policy } }",
	         getenv("DATABASE_URL"), getenv("DATABASE_REPLICA_URL"));
	open_script(a, NULL, script);
	if (!a->c)
		fail_msg("%s", a->error);
	struct heard heard = answer(a, &(struct moongate_statement){.sql = "select 1"});
	assert_true(is_at(&heard, "DATABASE_URL"));
	struct moongate_connection *connection = borrow(a, MOONGATE_WRITE);
	answer_on(a, connection, "begin");
	heard = answer_on(a, connection, "delete from live_api");
	assert_string_equal("MG001", heard.sqlstate);
	heard = answer_on(a, connection, "select 1");
	assert_string_equal("25P02", heard.sqlstate); /* the block has failed */
	heard = answer_on(a, connection, "rollback");
	assert_string_equal("", heard.sqlstate);
	moongate_release(connection);
}

static const char with_hooks[] =
        "local moongate = require 'moongate' "
        "local failed = 0 "
        "local policy = function(cluster) "
        "local hasty = moongate.timeout(cluster:route { to = 'primary' }, 0.05) "
        "return { on_error = function(query, error) failed = failed + 1 end, "
        "route = function(query) "
        "if query.kind == 'show' then return moongate.reject(failed .. ' have failed') end "
        "return hasty end } end "
        "return moongate.router { cluster = moongate.cluster { primary = '%s', policy = policy } }";

static void tells_a_policy_of_errors_and_keeps_to_its_timeouts(void **state)
{
	struct api *a = *state;
	char script[1024];
	moongate_close(a->c);
	snprintf(script, sizeof script, with_hooks, getenv("DATABASE_URL"));
	open_script(a, NULL, script);
	if (!a->c)
		fail_msg("%s", a->error);
	struct heard heard =
	        answer(a, &(struct moongate_statement){.sql = "select 1 from pg_sleep(30)",
	                                               .intent = MOONGATE_READ});
	assert_string_equal("57014", heard.sqlstate);
	heard = answer(a, &(struct moongate_statement){.sql = "select no_such_column"});
	assert_string_equal("42703", heard.sqlstate);
	heard = answer(a, &(struct moongate_statement){.sql = "show port"});
	assert_string_equal("2 have failed", heard.message);
}

static void shows_its_endpoints(void **state)
{
	struct api *a = *state;
	struct moongate_endpoint e[2];
	do
		ev_run(a->loop, EVRUN_ONCE);
	while (moongate_endpoints(a->c, e, 2) == 2 && !(e[0].latency > 0 && e[1].latency > 0));
	struct moongate_connection *connection = borrow(a, MOONGATE_WRITE);
	moongate_endpoints(a->c, e, 2);
	assert_string_equal("primary", e[0].role);
	assert_string_equal("replica", e[1].role);
	assert_string_equal("up", e[1].state);
	assert_string_equal("", e[1].error);
	assert_int_equal(1, e[0].lent);
	assert_int_equal(10, e[0].size);
	moongate_release(connection);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_set_up_live, api_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(takes_text_binary_and_null),
	        TEST(reads_on_the_replica_and_writes_on_the_primary),
	        TEST(obeys_the_intent_that_is_given),
	        TEST(tells_what_postgresql_said),
	        TEST(advises_in_its_own_words),
	        TEST(runs_a_transaction_on_a_connection),
	        TEST(rolls_back_what_is_released_in_a_transaction),
	        TEST(runs_one_statement_at_a_time),
	        TEST(says_that_a_connection_was_lost),
	        TEST(releases_after_all_has_gone),
	        TEST(cancels_in_postgresql),
	        TEST(gives_up_what_takes_too_long),
	        TEST(closes_with_queries_on_the_way),
	        TEST(asks_a_policy_about_statements_and_blocks),
	        TEST(tells_a_policy_of_errors_and_keeps_to_its_timeouts),
	        TEST(shows_its_endpoints),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
