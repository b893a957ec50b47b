/* test_api.c - moongate.h without any PostgreSQL: misuse, failing to connect, closing at any time.
 */
/* SPDX-License-Identifier: MIT */
#include "api_fixture.h"

#include <math.h>

#define NOBODY "postgres://u:s3cret@127.0.0.1:1/d" /* where nothing listens */

static void classifies_without_a_loop(void **state)
{
	struct moongate *m = moongate_new(NULL);
	struct moongate_facts facts;
	(void)state;
	moongate_classify(m, "select * from A join public.b using (x) where y = 1", &facts);
	assert_int_equal(MOONGATE_READ, facts.intent);
	assert_string_equal("select", facts.kind);
	assert_null(facts.reason);
	assert_int_equal(1, facts.statements);
	assert_int_equal(2, facts.table_count);
	assert_string_equal("a", facts.tables[0]);
	assert_string_equal("public.b", facts.tables[1]);
	uint64_t fingerprint = facts.fingerprint;
	moongate_classify(m, "select * from a join public.b using (x) where y = 2", &facts);
	assert_true(fingerprint == facts.fingerprint);
	moongate_classify(m, "no sql", &facts);
	assert_int_equal(MOONGATE_WRITE, facts.intent);
	assert_non_null(facts.reason);
	moongate_free(m);
	moongate_free(NULL);
	moongate_close(NULL);
	moongate_release(NULL);
	moongate_cancel(NULL);
}

static void says_what_is_wrong_with_options(void **state)
{
	struct api *a = *state;
	const struct {
		struct moongate_options options;
		const char *error;
	} wrong[] = {
	        {{.pool_size = 1}, "the primary has no URL"},
	        {{.primary = {.url = "mysql://x"}}, "postgres://"},
	        {{.primary = {.url = NOBODY}, .pool_size = (unsigned)-1},
	         "pool_size must be from 1 to 100000 (0: the default), not 4294967295"},
	        {{.primary = {.url = NOBODY}, .health_fall = 1001},
	         "health_fall must be from 1 to 1000 (0: the default), not 1001"},
	        {{.primary = {.url = NOBODY}, .health_rise = (unsigned)-1}, "health_rise must be"},
	        {{.primary = {.url = NOBODY}, .backoff_attempts = (unsigned)-1},
	         "backoff_attempts must be from 1 to 1000000 (0: the default), not 4294967295"},
	        {{.primary = {.url = NOBODY}, .acquire_timeout = -1},
	         "acquire_timeout must be seconds, from 0 to 1e+09 (0: the default), not -1"},
	        {{.primary = {.url = NOBODY}, .idle_timeout = NAN}, "idle_timeout must be"},
	        {{.primary = {.url = NOBODY}, .max_lifetime = INFINITY}, "not inf"},
	        {{.primary = {.url = NOBODY}, .connect_timeout = 0.0001},
	         "connect_timeout must be seconds, from 0.001 to 1e+09"},
	        {{.primary = {.url = NOBODY}, .health_interval = -1}, "health_interval must be"},
	        {{.primary = {.url = NOBODY}, .health_timeout = 1e300}, "not 1e+300"},
	        {{.primary = {.url = NOBODY}, .backoff_initial = -1}, "backoff_initial must be"},
	        {{.primary = {.url = NOBODY}, .backoff_max = -1}, "backoff_max must be"},
	        {{.primary = {.url = NOBODY}, .backoff_factor = 0.5},
	         "backoff_factor must be from 1 to 1e+09 (0: the default), not 0.5"},
	        {{.primary = {.url = NOBODY}, .backoff_jitter = 1.5},
	         "backoff_jitter must be from 0 to 1 (0: the default), not 1.5"},
	        {{.primary = {.url = NOBODY, .weight = -2}},
	         "the primary's weight must be from 0 to 1e+09 (0: 1), not -2"},
	        {{.primary = {.url = NOBODY},
	          .replicas = &(struct moongate_url){.url = NOBODY, .weight = NAN},
	          .replica_count = 1},
	         "the weight of replica 1 must be"},
	        {{.primary = {.url = NOBODY}, .replica_count = 1},
	         "replica_count is 1, but there are no replicas"},
	        {{.primary = {.url = NOBODY},
	          .replicas = &(struct moongate_url){0},
	          .replica_count = 1},
	         "a replica has no URL"},
	        {{.primary = {.url = NOBODY},
	          .replicas = &(struct moongate_url){0},
	          .replica_count = 1000},
	         "at most 64 endpoints"},
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_null(moongate_open(a->m, &wrong[i].options, a->error, sizeof a->error));
		if (!strstr(a->error, wrong[i].error))
			fail_msg("\"%s\" does not say \"%s\"", a->error, wrong[i].error);
		assert_null(strstr(a->error, "s3cret"));
	}
	assert_false(moongate_log(a->m, "loud", STDERR_FILENO));
}

static void needs_a_loop_for_clusters(void **state)
{
	struct moongate *m = moongate_new(NULL);
	char error[256];
	const struct moongate_options options = {.primary = {.url = NOBODY}};
	(void)state;
	assert_null(moongate_open(m, &options, error, sizeof error));
	assert_non_null(strstr(error, "made without a loop"));
	moongate_free(m);
}

static void leaves_the_loops_userdata_to_the_program(void **state)
{
	struct api *a = *state;
	struct heard heard = {0};
	char mine[] = "the program's";
	moongate_free(a->m);
	ev_set_userdata(a->loop, mine);
	a->m = moongate_new(a->loop);
	assert_non_null(a->m);
	assert_true(moongate_log(a->m, "off", STDERR_FILENO));
	open_at(a, NOBODY, NULL);
	query(a, "select 1", &heard);
	wait_for(a, &heard, 1);
	assert_string_equal("57P03", heard.sqlstate);
	assert_ptr_equal(mine, ev_userdata(a->loop));
	assert_string_equal("the program's", mine);
}

static void reads_the_environment(void **state)
{
	struct api *a = *state;
	struct moongate_endpoint endpoints[4];
	unsetenv("DATABASE_URL");
	assert_null(moongate_open_env(a->m, a->error, sizeof a->error));
	assert_non_null(strstr(a->error, "DATABASE_URL is not set"));
	setenv("DATABASE_URL", NOBODY, 1);
	setenv("DATABASE_REPLICA_URL", " postgres://127.0.0.1:2/d  mysql:// ", 1);
	setenv("MOONGATE_REGION", "eu", 1);
	a->c = moongate_open_env(a->m, a->error, sizeof a->error);
	unsetenv("DATABASE_URL");
	unsetenv("DATABASE_REPLICA_URL");
	unsetenv("MOONGATE_REGION");
	assert_non_null(a->c);
	assert_int_equal(3, moongate_endpoints(a->c, endpoints, 2));
	assert_string_equal("127.0.0.1:1", endpoints[0].name);
	assert_string_equal("primary", endpoints[0].role);
	assert_string_equal("starting", endpoints[0].state);
	assert_true(endpoints[0].usable);
	assert_string_equal("127.0.0.1:2", endpoints[1].name);
	assert_string_equal("eu", endpoints[1].region);
}

static void tells_of_a_failure_from_the_loop_and_once(void **state)
{
	struct api *a = *state;
	struct heard heard = {0};
	open_at(a, NOBODY, NULL);
	assert_non_null(query(a, "select 1", &heard));
	assert_int_equal(0, heard.times);
	wait_for(a, &heard, 1);
	assert_string_equal("57P03", heard.sqlstate);
	assert_non_null(strstr(heard.message, "127.0.0.1:1"));
	assert_null(strstr(heard.message, "s3cret"));
	struct moongate_endpoint e;
	assert_int_equal(1, moongate_endpoints(a->c, &e, 1));
	assert_true(*e.error);
	moongate_close(a->c);
	ev_run(a->loop, 0); /* which returns: nothing of ours is left on it */
	assert_int_equal(1, heard.times);
}

static void fails_what_is_under_way_as_it_closes(void **state)
{
	struct api *a = *state;
	struct heard queries[3] = {{0}}, borrowing = {0};
	open_at(a, NOBODY, NULL);
	for (size_t i = 0; i < 3; i++)
		query(a, "select 1", &queries[i]);
	moongate_borrow(a->c, MOONGATE_WRITE, on_done, &borrowing);
	moongate_close(a->c);
	assert_int_equal(0, queries[0].times);
	ev_run(a->loop, 0);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(1, queries[i].times);
		assert_string_equal("57P01", queries[i].sqlstate);
	}
	assert_int_equal(1, borrowing.times);
	assert_null(borrowing.connection);
}

static void closes_in_a_callback(void **state)
{
	struct api *a = *state;
	open_at(a, NOBODY, NULL);
	struct heard first = {.closes = a->c}, second = {0};
	query(a, "select 1", &first);
	query(a, "select 2", &second);
	ev_run(a->loop, 0);
	assert_int_equal(1, first.times);
	assert_int_equal(1, second.times);
}

static void is_freed_in_a_callback(void **state)
{
	struct api *a = *state;
	open_at(a, NOBODY, NULL);
	struct heard first = {.frees = a->m}, second = {0};
	query(a, "select 1", &first);
	query(a, "select 2", &second);
	a->m = NULL;
	ev_run(a->loop, 0);
	assert_int_equal(1, first.times);
	assert_int_equal(1, second.times);
}

static void tells_all_before_it_is_freed(void **state)
{
	struct api *a = *state;
	struct heard heard = {0};
	open_at(a, NOBODY, NULL);
	query(a, "select 1", &heard);
	moongate_free(a->m);
	a->m = NULL;
	assert_int_equal(1, heard.times);
	assert_string_equal("57P01", heard.sqlstate);
}

static void does_not_tell_what_was_cancelled(void **state)
{
	struct api *a = *state;
	struct heard heard = {0};
	open_at(a, NOBODY, NULL);
	moongate_cancel(query(a, "select 1", &heard));
	moongate_cancel(moongate_borrow(a->c, MOONGATE_READ, on_done, &heard));
	struct moongate_pending *closed = query(a, "select 1", &heard);
	moongate_close(a->c);
	moongate_cancel(closed);
	ev_run(a->loop, 0);
	assert_int_equal(0, heard.times);
}

static void gives_up_after_its_timeout(void **state)
{
	struct api *a = *state;
	struct heard heard = {0};
	open_script(a, NULL,
	            "local moongate = require 'moongate' "
	            "return moongate.router { cluster = moongate.cluster { primary = '" NOBODY "', "
	            "policy = function(cluster) "
	            "local patient = cluster:route { to = 'primary', hold = 30 } "
	            "return function() return patient end end } }");
	if (!a->c)
		fail_msg("%s", a->error);
	moongate_query(a->c, &(struct moongate_statement){.sql = "select 1", .timeout = 0.02},
	               on_done, &heard);
	wait_for(a, &heard, 1);
	assert_string_equal("57014", heard.sqlstate);
	assert_non_null(strstr(heard.message, "its timeout of 0.02 s"));
}

static const char two_clusters[] =
        "local moongate = require 'moongate' "
        "return moongate.router { clusters = { "
        "app = moongate.cluster { primary = { url = 'postgres://127.0.0.1:1/app', name = 'a' }, "
        "policy = function() return function(query) "
        "return moongate.reject('no ' .. query.kind, '42501') end end }, "
        "other = moongate.cluster { primary = { url = 'postgres://127.0.0.1:1/o', name = 'o' } } } "
        "}";

static void asks_the_policy_of_a_script(void **state)
{
	struct api *a = *state;
	struct heard heard = {0};
	struct moongate_endpoint e;
	open_script(a, "app", two_clusters);
	if (!a->c)
		fail_msg("%s", a->error);
	moongate_endpoints(a->c, &e, 1);
	assert_string_equal("a", e.name);
	query(a, "insert into t values (1)", &heard);
	wait_for(a, &heard, 1);
	assert_string_equal("42501", heard.sqlstate);
	assert_string_equal("no insert", heard.message);
}

static void says_what_is_wrong_with_a_script(void **state)
{
	struct api *a = *state;
	open_script(a, "third", two_clusters);
	assert_null(a->c);
	assert_non_null(strstr(a->error, "it has no cluster for database third"));
	open_script(a, NULL, "return 1");
	assert_null(a->c);
	assert_non_null(strstr(a->error, "return moongate.router"));
	a->c = moongate_open_script(a->m, "/none/there.lua", NULL, a->error, sizeof a->error);
	assert_null(a->c);
	assert_non_null(strstr(a->error, "/none/there.lua"));
}

static void refuses_tags_that_say_nothing(void **state)
{
	struct api *a = *state;
	struct heard heard = {0};
	open_at(a, NOBODY, NULL);
	query(a, "select 1 /* moongate: consistency=much */", &heard);
	wait_for(a, &heard, 1);
	assert_string_equal("22023", heard.sqlstate);
}

static void refuses_statements_that_are_none(void **state)
{
	struct api *a = *state;
	static const char *const value = "1";
	const struct {
		struct moongate_statement statement;
		const char *sqlstate, *says;
	} wrong[] = {
	        {{.sql = NULL}, "22023", "no sql"},
	        {{.sql = "select $1", .count = 1}, "22023", "no values"},
	        {{.sql = "select $1", .count = 65536, .values = &value}, "54000", "not 65536"},
	        {{.sql = "select $1", .count = -1, .values = &value},
	         "22023",
	         "count must be from 0 to 65535, not -1"},
	        {{.sql = "select $1", .count = 1, .values = &value, .formats = (const int[]){2}},
	         "22023",
	         "the format of $1 must be 0 or 1, not 2"},
	        {{.sql = "select $1", .count = 1, .values = &value, .formats = (const int[]){1}},
	         "22023",
	         "$1 is binary, but there are no lengths"},
	        {{.sql = "select $1",
	          .count = 1,
	          .values = &value,
	          .lengths = (const int[]){-1},
	          .formats = (const int[]){1}},
	         "22023",
	         "the length of $1 must be at least 0, not -1"},
	        {{.sql = "select 1", .timeout = -1},
	         "22023",
	         "timeout must be seconds, from 0 to 1e+09, not -1"},
	        {{.sql = "select 1", .timeout = NAN}, "22023", "timeout must be"},
	        {{.sql = "select 1", .intent = (enum moongate_intent)7},
	         "22023",
	         "intent must be MOONGATE_CLASSIFIED, MOONGATE_READ or MOONGATE_WRITE, not 7"},
	};
	open_at(a, NOBODY, NULL);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct heard heard = {0};
		assert_non_null(moongate_query(a->c, &wrong[i].statement, on_done, &heard));
		wait_for(a, &heard, 1);
		assert_string_equal(wrong[i].sqlstate, heard.sqlstate);
		assert_non_null(strstr(heard.message, wrong[i].says));
	}
}

static void lives_beside_other_contexts(void **state)
{
	struct api *a = *state;
	struct moongate *other = moongate_new(a->loop);
	struct heard heard = {0}, others = {0};
	const struct moongate_options options = {.primary = {.url = NOBODY}, .pool_size = 1};
	open_at(a, NOBODY, NULL);
	struct moongate_cluster *c = moongate_open(other, &options, a->error, sizeof a->error);
	moongate_query(c, &(struct moongate_statement){.sql = "select 1"}, on_done, &others);
	query(a, "select 1", &heard);
	moongate_free(other);
	assert_int_equal(1, others.times);
	wait_for(a, &heard, 1);
	assert_string_equal("57P03", heard.sqlstate);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_set_up, api_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(classifies_without_a_loop),
	        cmocka_unit_test(needs_a_loop_for_clusters),
	        TEST(says_what_is_wrong_with_options),
	        TEST(leaves_the_loops_userdata_to_the_program),
	        TEST(reads_the_environment),
	        TEST(tells_of_a_failure_from_the_loop_and_once),
	        TEST(fails_what_is_under_way_as_it_closes),
	        TEST(closes_in_a_callback),
	        TEST(is_freed_in_a_callback),
	        TEST(tells_all_before_it_is_freed),
	        TEST(does_not_tell_what_was_cancelled),
	        TEST(gives_up_after_its_timeout),
	        TEST(asks_the_policy_of_a_script),
	        TEST(says_what_is_wrong_with_a_script),
	        TEST(refuses_tags_that_say_nothing),
	        TEST(refuses_statements_that_are_none),
	        TEST(lives_beside_other_contexts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
