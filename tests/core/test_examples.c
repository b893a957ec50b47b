/* test_examples.c - a policy is tried on the examples that it brings; and which line has decided.
 */
/* SPDX-License-Identifier: MIT */
#include "script_fixture.h"

#define ROUTES                                                                                     \
	"local reads = cluster:route { to = 'replicas', name = 'reads', fallback = 'primary' } "   \
	"local writes = cluster:route { to = 'primary', name = 'writes' } "

/* A policy by intent and tags, with these examples. */
static bool load_with(struct fixture *f, const char *tests)
{
	char script[4096];
	snprintf(
	        script, sizeof script,
	        "local moongate = require 'moongate' "
	        "return moongate.router { clusters = { app = moongate.cluster { "
	        "primary = 'postgres://u@localhost:1/d', replicas = { { "
	        "url = 'postgres://u@localhost:2/d', name = 'second' } }, "
	        "policy = function(cluster) " ROUTES "return { route = function(q) "
	        "local v = q.session.vars v.n = (v.n or 0) + 1 assert(v.n == 1) "
	        "if q.kind == 'truncate' then return moongate.reject('not ' .. q.session.user) end "
	        "if q.kind == 'show' then error('oops') end "
	        "if q.tags.to and cluster.replicas[1].up and cluster.replicas[1].staleness < 1 "
	        "then return cluster.replicas[1] end "
	        "return q.intent == 'read' and reads or writes end, tests = %s } end } } }",
	        tests);
	return load_text(f, script);
}

static void a_policy_that_passes_its_examples_is_loaded(void **state)
{
	struct fixture *f = *state;
	assert_true(
	        load_with(f, "{ { sql = 'select 1', expect = 'reads' }, "
	                     "{ sql = 'delete from t', expect = 'writes' }, "
	                     "{ sql = 'select 1', expect = 'writes', in_transaction = true }, "
	                     "{ sql = 'select 1 --', expect = 'second', tags = { to = 2 } }, "
	                     "{ sql = 'truncate t', expect = 'reject', user = 'bob' }, "
	                     "{ sql = 'truncate t', expect = 'reject: not bob', user = 'bob' } }"));
	struct policy *p = script_cluster_at(f->script, 0)->policy;
	assert_int_equal(policy_examples(p), 6);
	assert_int_equal(policy_stats(p).calls, 0);
	const struct endpoint *second = script_cluster_at(f->script, 0)->cluster->endpoints[1];
	assert_int_equal(second->health.state, HEALTH_STARTING);
	assert_int_equal(second->timeline, 0);
}

static void the_first_that_fails_keeps_it_from_being_loaded(void **state)
{
	struct fixture *f = *state;
	assert_false(load_with(f, "{ { sql = 'select 1', expect = 'reads' }, "
	                          "{ sql = 'delete from t', expect = 'reads' } }"));
	assert_non_null(strstr(f->error, "script.lua: database app: example 2 (\"delete from t\"): "
	                                 "expected \"reads\", got \"writes\""));
	assert_false(load_with(f, "{ { sql = 'select 1', expect = 'all', name = 'my own' } }"));
	assert_non_null(strstr(f->error, "example 1, my own (\"select 1\"): expected \"all\""));
	assert_false(load_with(f, "{ { sql = 'show x', expect = 'replicas' } }"));
	assert_non_null(strstr(f->error, "expected \"replicas\", the policy failed: "));
	assert_non_null(strstr(f->error, "oops"));
	assert_false(load_with(f, "{ { sql = 'truncate t', expect = 'reject: no' } }"));
	assert_int_equal(count_in(logged(f), "policy error"), 0);
}

static void examples_of_the_wrong_form_are_named(void **state)
{
	static const struct {
		const char *tests, *wrong;
	} cases[] = {
	        {"{ { expect = 'x' } }", "policy: tests[1].sql is missing"},
	        {"{ { sql = 'select 1' } }", "policy: tests[1].expect is missing"},
	        {"{ { sql = 'a', expect = 'x' }, { sql = 'a', expcet = 'x' } }",
	         "unknown option \"tests[2].expcet\" (did you mean \"expect\"?)"},
	        {"{ { sql = 'a', expect = 'x', in_transaction = 1 } }",
	         "tests[1].in_transaction must be true or false, not 1"},
	        {"{ { sql = 'a', expect = 'x', tags = { ['a b'] = 1 } } }",
	         "tests[1].tags.a b can be no tag: its name has a space"},
	        {"{ { sql = 'a', expect = 'x', tags = { a = '*/' } } }", "cannot hold /* or */"},
	        {"'select 1'", "tests must be a list of { sql = ..., expect = ... }"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fixture *f = *state;
		assert_false(load_with(f, cases[i].tests));
		if (!strstr(f->error, cases[i].wrong) || !strstr(f->error, "script.lua:1: "))
			fail_msg("\"%s\" is not \"%s\"", f->error, cases[i].wrong);
	}
}

static void an_example_that_never_ends_is_ended(void **state)
{
	struct fixture *f = *state;
	assert_false(load_text(f, "local moongate = require 'moongate' "
	                          "return moongate.router { cluster = moongate.cluster { "
	                          "primary = 'postgres://u@localhost:1/d', policy = function() "
	                          "return { route = function() while true do end end, "
	                          "tests = { { sql = 'select 1', expect = 'x' } } } end } }"));
	assert_non_null(strstr(f->error, "used up its 100000 instructions"));
}

static void a_trace_tells_which_line_has_returned(void **state)
{
	struct policy *p = load_policy(*state, ROUTES "\nlocal function which(q)\n"
	                                              "if q.intent == 'read' then\n"
	                                              "return reads end\n"
	                                              "end\n"
	                                              "return function(q)\n"
	                                              "local route = which(q)\n"
	                                              "if route then return route end\n"
	                                              "while q.parameters == 3 do end\n"
	                                              "end");
	ask(p, &a_read);
	assert_null(policy_line(p));
	policy_trace(p, true);
	ask(p, &a_read);
	assert_non_null(strstr(policy_line(p), "/script.lua:8"));
	ask(p, &a_write);
	assert_non_null(strstr(policy_line(p), "/script.lua:10"));
	policy_trace(p, false);
	ask(p, &a_read);
	assert_null(policy_line(p));
}

static void a_trace_leaves_the_fence_up(void **state)
{
	struct policy *p = load_policy(*state, "return function(q) if q.intent == 'read' then "
	                                       "coroutine.wrap(function() while true do "
	                                       "pcall(string.rep, 'x') end end)() end end");
	policy_trace(p, true);
	assert_string_equal(answer(p, &a_read), "fallback");
	assert_string_equal(answer(p, &a_write), "primary");
	assert_string_equal(answer(p, &a_read), "fallback");
	assert_string_not_equal(policy_error(p), ""); /* instructions, or time under a sanitizer */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	        TEST(a_policy_that_passes_its_examples_is_loaded),
	        TEST(the_first_that_fails_keeps_it_from_being_loaded),
	        TEST(examples_of_the_wrong_form_are_named),
	        TEST(an_example_that_never_ends_is_ended),
	        TEST(a_trace_tells_which_line_has_returned),
	        TEST(a_trace_leaves_the_fence_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
