/* test_policy.c - what a policy may say, and what becomes of one that says it badly. */
/* SPDX-License-Identifier: MIT */
#include "script_fixture.h"

#include "cluster/scopes.h"

static void returns_routes_made_at_load(void **state)
{
	struct policy *p =
	        load_policy(*state, "local r = cluster:route { to = 'replicas' } "
	                            "local w = cluster:route { to = 'primary', name = 'main' } "
	                            "return function(query) "
	                            "if query.intent == 'read' then return r end return w end");
	assert_string_equal(answer(p, &a_read), "replicas");
	assert_string_equal(answer(p, &a_write), "main");
	assert_int_equal(policy_stats(p).calls, 2);
	assert_int_equal(policy_stats(p).errors, 0);
}

static void without_a_policy_the_default_routes_decide(void **state)
{
	struct fixture *f = *state;
	assert_true(load_text(f, "local m = require 'moongate' return m.router { "
	                         "listen = '127.0.0.1:1', cluster = m.cluster { "
	                         "primary = 'postgres://localhost:1/d' } }"));
	struct policy *p = script_cluster_at(f->script, 0)->policy;
	assert_string_equal(answer(p, &a_read), "replicas");
	assert_string_equal(answer(p, &a_write), "primary");
}

static void nil_is_no_opinion(void **state)
{
	struct policy *p = load_policy(*state, "return function() end");
	assert_string_equal(answer(p, &a_read), "replicas");
	assert_string_equal(answer(p, &a_write), "primary");
	assert_int_equal(policy_stats(p).errors, 0);
}

static void returns_an_endpoint(void **state)
{
	struct policy *p = load_policy(*state, "return function() return cluster.replicas[1] end");
	assert_string_equal(answer(p, &a_write), "second");
}

static void rejects_with_a_sqlstate_of_its_own(void **state)
{
	struct policy *p =
	        load_policy(*state, "local no = moongate.reject('not here', '0A000') "
	                            "return function(q) if q.intent == 'read' then return no end "
	                            "return moongate.reject('nor there') end");
	struct verdict v = ask(p, &a_read);
	assert_int_equal(v.kind, VERDICT_REJECT);
	assert_string_equal(v.message, "not here");
	assert_string_equal(v.sqlstate, "0A000");
	assert_string_equal(verdict_name(&v), "reject: not here");
	v = ask(p, &a_write);
	assert_string_equal(v.message, "nor there");
	assert_string_equal(v.sqlstate, "42501");
}

static void sees_what_the_query_is(void **state)
{
	struct policy *p = load_policy(
	        *state, "return function(q) "
	                "assert(q.kind == 'select' and q.intent == 'read') "
	                "assert(q.sql:find('lower%(name%)') and q.parameters == 2) "
	                "assert(q.fingerprint == '0000000000000abc') "
	                "assert(#q.tables == 2 and q.tables[2] == 'public.users') "
	                "assert(q.tables == q.tables and q.functions[1] == 'lower') "
	                "assert(q.tags.tenant == '7' and q.in_transaction == false) "
	                "assert(q.session.user == 'alice' and q.session.address == nil) "
	                "assert(q.session.database == 'app') end");
	assert_string_equal(answer(p, &a_read), "replicas");
}

static void lists_are_those_of_this_query(void **state)
{
	struct policy *p =
	        load_policy(*state, "return function(q) table.remove(q.tables) "
	                            "return moongate.reject(#q.tables .. ' ' .. #q.functions) end");
	assert_string_equal(answer(p, &a_read), "reject: 1 1");
	assert_string_equal(answer(p, &a_write), "reject: 0 0");
	assert_string_equal(answer(p, &a_read), "reject: 1 1");
}

static void an_unknown_field_is_an_error_that_lists_those_there_are(void **state)
{
	struct policy *p = load_policy(*state, "return function(q) return q.intend end");
	assert_string_equal(answer(p, &a_read), "fallback");
	assert_non_null(strstr(logged(*state), "it has intent, kind, sql"));
}

static void falls_back_on_an_error_and_says_where(void **state)
{
	struct policy *p = load_policy(*state, "\n\nreturn function(q) local x = nil .. 'a' end");
	assert_string_equal(answer(p, &a_write), "fallback");
	struct verdict v = ask(p, &a_write);
	assert_string_equal(verdict_name(&v), "primary");
	assert_non_null(strstr(logged(*state), "script.lua:3: attempt to concatenate"));
	assert_int_equal(policy_stats(p).errors, 2);
}

static void an_error_may_be_any_value(void **state)
{
	static const char *const values[] = {
	        "nil", "42", "{}", "print", "true", "setmetatable({}, {__tostring = error})"};
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		char text[128];
		snprintf(text, sizeof text, "return function() error(%s) end", values[i]);
		assert_string_equal(answer(load_policy(*state, text), &a_read), "fallback");
	}
}

static void nonsense_falls_back(void **state)
{
	static const char *const values[] = {"'primary'",     "1",       "{}", "false",
	                                     "print",         "cluster", "q",  "q.session",
	                                     "other.primary", "foreign"};
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		char text[512];
		snprintf(text, sizeof text,
		         "local other = moongate.cluster { primary = 'postgres://localhost:1/d' } "
		         "local foreign = other:route { to = 'primary' } "
		         "return function(q) return %s end",
		         values[i]);
		assert_string_equal(answer(load_policy(*state, text), &a_read), "fallback");
	}
	assert_non_null(strstr(logged(*state), "may return a route or an endpoint"));
}

static void yielding_is_an_error(void **state)
{
	struct policy *p = load_policy(*state, "return function() coroutine.yield() end");
	assert_string_equal(answer(p, &a_read), "fallback");
}

static void routes_are_not_made_for_each_query(void **state)
{
	struct policy *p = load_policy(
	        *state, "return function() return cluster:route { to = 'primary' } end");
	assert_string_equal(answer(p, &a_read), "fallback");
	assert_non_null(strstr(logged(*state), "not for each query"));
}

static void many_errors_in_a_row_take_it_out_of_the_path(void **state)
{
	struct policy *p = load_policy(*state, "return function() error('no') end");
	for (int i = 0; i < POLICY_BREAKER + 10; i++)
		assert_string_equal(answer(p, &a_read), "fallback");
	assert_true(policy_stats(p).tripped);
	assert_int_equal(policy_stats(p).errors, POLICY_BREAKER);
	assert_int_equal(policy_stats(p).calls, POLICY_BREAKER);
	assert_int_equal(count_in(logged(*state), "taken out of the path"), 1);
}

static void errors_now_and_then_do_not(void **state)
{
	struct policy *p = load_policy(*state, "local n = 0 return function() n = n + 1 "
	                                       "if n % 100 ~= 0 then error('no') end end");
	for (int i = 0; i < 1000; i++)
		ask(p, &a_read);
	assert_false(policy_stats(p).tripped);
	assert_int_equal(policy_stats(p).errors, 990);
}

static void logs_one_line_a_second(void **state)
{
	struct policy *p = load_policy(*state, "return function() error('no') end");
	for (int i = 0; i < POLICY_BREAKER - 1; i++)
		ask(p, &a_read);
	unsigned lines = count_in(logged(*state), "policy error");
	assert_in_range(lines, 1, 3); /* 3 on a machine that needs seconds for 99 calls */
}

static void vars_stay_with_their_session(void **state)
{
	struct policy *p = load_policy(
	        *state, "return function(q) local v = q.session.vars v.n = (v.n or 0) + 1 "
	                "return moongate.reject(tostring(v.n)) end");
	struct session_facts one = {0}, other = {0};
	struct query query = {.facts = &a_read, .sql = "", .session = &one};
	for (int i = 0; i < 3; i++)
		policy_route(p, &query);
	struct verdict v = policy_route(p, &query);
	assert_string_equal(v.message, "4");
	query.session = &other;
	v = policy_route(p, &query);
	assert_string_equal(v.message, "1");
	policy_session_end(p, &one);
	assert_int_equal(one.vars, 0);
	query.session = &one;
	v = policy_route(p, &query);
	assert_string_equal(v.message, "1");
	policy_session_end(p, &one);
	policy_session_end(p, &other);
}

static uint64_t key_after(struct policy *p, const char *sql)
{
	struct session_facts session = {0};
	uint64_t key = 0;
	const struct query query = {.facts = &a_read,
	                            .sql = sql,
	                            .sql_size = strlen(sql),
	                            .standard_strings = true,
	                            .key = &key,
	                            .session = &session};
	policy_route(p, &query);
	return key;
}

static void a_policy_gives_a_query_its_key(void **state)
{
	struct policy *p = load_policy(*state, "return function(q) q.key = q.tags.tenant end");
	uint64_t a = key_after(p, "select 1 /* moongate: tenant=a */");
	assert_true(a != 0);
	assert_true(a == key_after(p, "select 2 /* moongate: tenant=a */"));
	assert_true(a != key_after(p, "select 1 /* moongate: tenant=b */"));
	assert_true(key_after(p, "select 1") == 0);
	p = load_policy(*state, "return function(q) q.key = 7 q.key = q.key .. '' end");
	assert_true(key_after(p, "select 1") == scope_key("7", 1));
	p = load_policy(*state, "return function(q) q.key = {} end");
	assert_true(key_after(p, "select 1") == 0);
	assert_int_equal(policy_stats(p).errors, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	        TEST(returns_routes_made_at_load),
	        TEST(without_a_policy_the_default_routes_decide),
	        TEST(nil_is_no_opinion),
	        TEST(returns_an_endpoint),
	        TEST(rejects_with_a_sqlstate_of_its_own),
	        TEST(sees_what_the_query_is),
	        TEST(lists_are_those_of_this_query),
	        TEST(an_unknown_field_is_an_error_that_lists_those_there_are),
	        TEST(falls_back_on_an_error_and_says_where),
	        TEST(an_error_may_be_any_value),
	        TEST(nonsense_falls_back),
	        TEST(yielding_is_an_error),
	        TEST(routes_are_not_made_for_each_query),
	        TEST(many_errors_in_a_row_take_it_out_of_the_path),
	        TEST(errors_now_and_then_do_not),
	        TEST(logs_one_line_a_second),
	        TEST(vars_stay_with_their_session),
	        TEST(a_policy_gives_a_query_its_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
