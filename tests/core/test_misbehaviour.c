/* test_misbehaviour.c - whatever a policy does, its query goes by the default route, the error is
 * counted, one line says where and why, and the next call is none the worse for it. */
/* SPDX-License-Identifier: MIT */
#include "script_fixture.h"

/* The policy misbehaves at reads, on line 3 of the script, and answers writes as it should. */
static struct policy *load_misbehaving(struct fixture *f, const char *before, const char *body)
{
	char text[4096];
	snprintf(text, sizeof text,
	         "%s local good = cluster:route { to = 'primary', name = 'good' }\n"
	         "return function(q) if q.intent == 'write' then return good end\n"
	         "%s\nend",
	         before, body);
	return load_policy(f, text);
}

static void assert_logged(struct fixture *f, const char *part)
{
	if (!strstr(logged(f), part))
		fail_msg("expected \"%s\" in: %s", part, logged(f));
}

static void assert_misbehaves_with(struct fixture *f, const char *before, const char *body,
                                   const char *why)
{
	print_message("%s\n", body);
	assert_int_equal(ftruncate(f->context.log.fd, 0), 0);
	struct policy *p = load_misbehaving(f, before, body);
	struct verdict v = ask(p, &a_read);
	if (!v.fallback)
		fail_msg("it was not noticed");
	assert_int_equal(v.kind, VERDICT_ROUTE);
	assert_string_equal(verdict_name(&v), "replicas");
	assert_int_equal(policy_stats(p).errors, 1);
	assert_int_equal(count_in(logged(f), "policy error"), 1);
	assert_logged(f, why);
	assert_logged(f, "script.lua:2"); /* policy=: where its function begins */
	assert_string_equal(answer(p, &a_write), "good");
	assert_int_equal(policy_stats(p).errors, 1);
}

static void assert_misbehaves(struct fixture *f, const char *body, const char *why)
{
	assert_misbehaves_with(f, "", body, why);
}

#define USED_UP "script.lua:3: the policy used up its 100000 instructions"

static void an_infinite_loop_ends(void **state)
{
	assert_misbehaves(*state, "while true do end", USED_UP);
}

static void a_loop_of_protected_calls_ends(void **state)
{
	assert_misbehaves(*state, "while true do pcall(function() while true do end end) end",
	                  USED_UP);
	assert_misbehaves(*state, "while true do xpcall(error, function() error() end) end",
	                  USED_UP);
}

static const char some_text[] = "local s = ('x'):rep(600000)";

static void memory_is_bounded_for_a_call(void **state)
{
	static const char why[] =
	        "script.lua:2: the policy asked for more memory than one call may, 16 MiB";
	assert_misbehaves_with(*state, some_text, "for i = 1, 40 do local _ = s .. i end", why);
	assert_misbehaves_with(*state, some_text,
	                       "local t = {} while true do t[#t + 1] = s .. #t end", why);
	assert_misbehaves(*state, "local s = 'x' while true do s = s .. s end",
	                  "script.lua:2: the policy made a string longer than 1 MiB");
}

/* However often it is caught: each would be a full collection. */
static void a_refusal_of_memory_ends_the_call(void **state)
{
	static const char why[] = "script.lua:3: the policy made a string longer than 1 MiB";
	static const char *const ways[] = {
	        "while true do pcall(function() return s .. s end) end",
	        "while true do xpcall(function() return s .. s end, print) end",
	        "while true do coroutine.resume(coroutine.create(function() return s .. s end)) "
	        "end",
	        "pcall(function() return s .. s end)",
	        "pcall(table.concat, { s, s })",
	};
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		assert_misbehaves_with(*state, some_text, ways[i], why);
}

static void memory_kept_for_good_ends_at_the_cap(void **state)
{
	struct policy *p = load_misbehaving(*state, "local kept = {} local s = ('x'):rep(600000)",
	                                    "kept[#kept + 1] = s .. #kept");
	for (int i = 0; i < 200; i++)
		ask(p, &a_read);
	assert_true(policy_stats(p).tripped == (policy_stats(p).errors >= POLICY_BREAKER));
	assert_in_range(policy_stats(p).errors, 90, POLICY_BREAKER);
	assert_logged(*state, "script.lua:2: the policy found the script's memory used up");
}

static void the_text_of_a_query_may_be_long(void **state)
{
	struct policy *p = load_policy(*state, "return function(q) return moongate.reject("
	                                       "#(q.sql:lower() .. '!') .. '') end");
	size_t size = (size_t)5 << 20;
	char *sql = malloc(size);
	memset(sql, 'x', size);
	struct session_facts session = {0};
	const struct query query = {
	        .facts = &a_read, .sql = sql, .sql_size = size, .session = &session};
	struct verdict v = policy_route(p, &query);
	free(sql);
	assert_string_equal(verdict_name(&v), "replicas"); /* lower() looks at each character */
	assert_logged(*state, "used up its 100000 instructions");
	p = load_policy(*state, "return function(q) return moongate.reject(#q.sql .. '') end");
	sql = calloc(1, size);
	struct query again = query;
	again.sql = sql;
	v = policy_route(p, &again);
	free(sql);
	assert_string_equal(verdict_name(&v), "reject: 5242880");
}

static void bombs_of_repetition_end(void **state)
{
	assert_misbehaves(*state, "return ('x'):rep(1 << 40)", "script.lua:3: the policy ");
	assert_misbehaves(*state, "return (''):rep(1 << 60)", USED_UP);
	assert_misbehaves(*state, "while true do pcall(string.rep, '', 1 << 60) end", USED_UP);
}

static void bombs_of_patterns_end(void **state)
{
	static const char *const bombs[] = {
	        "return s:find('.-.-.-.-.-b')",
	        "return s:match('a*a*a*a*a*b')",
	        "return s:gsub('.-.-.-.-b', '')",
	        "for _ in s:gmatch('.-.-.-.-b') do end",
	        "while true do pcall(string.find, s, '.-.-.-b') end",
	        "return s:find('(.*)(.*)(.*)(.*)%4b')",
	        "while true do s:find('aab', 1, true) end",
	        "while true do s:find(('[^%s]'):rep(10)) end",
	};
	for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++)
		assert_misbehaves_with(*state, "local s = ('a'):rep(20000)", bombs[i], USED_UP);
}

/* Each call into C takes long for one instruction; none of them allocates. */
static void long_calls_into_c_are_charged(void **state)
{
	static const char *const calls[] = {
	        "table.move(t, 1, 1 << 60, 2)",
	        "table.insert(t, 1, 1)",
	        "table.remove(t, 1) t[#t + 1] = 1",
	        "table.concat(t, '', 1, 30000)",
	        "table.sort(t)",
	        "table.unpack(t, 1, 30000)",
	        "select('#', table.unpack(t, 1, 200))",
	        "utf8.len(s)",
	        "utf8.codepoint(s, -1)",
	        "utf8.offset(s, -1)",
	        "for _ in utf8.codes(s) do break end",
	        "string.byte(s, -1)",
	        "string.packsize(f)",
	        "tonumber(n)",
	        "collectgarbage()",
	        "collectgarbage('step')",
	        "load(n)",
	        "load(function() return n end)",
	        "print('x')",
	        "pcall(require, 'nowhere')",
	        "coroutine.create(print)",
	};
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		char body[256];
		snprintf(body, sizeof body, "while true do %s end", calls[i]);
		assert_misbehaves_with(*state,
		                       "local t, s, n, f = {}, ('a'):rep(99999), (' '):rep(99999), "
		                       "('<'):rep(99999) for i = 1, 30000 do t[i] = i end ",
		                       body, USED_UP);
	}
}

static void a_length_may_not_change_its_mind(void **state)
{
	assert_misbehaves(*state,
	                  "local n = 0 table.unpack(setmetatable({}, { __len = function() "
	                  "n = n + 1 << 40 return n end }))",
	                  "script.lua:3: a table with __len has no place");
}

/* What no instruction tells. */
static void time_is_bounded_too(void **state)
{
	assert_misbehaves_with(*state, "local a, b = ('x'):rep(8 << 20), ('x'):rep(8 << 20)",
	                       "while true do local _ = a == b end",
	                       "script.lua:3: the policy ran for more than 50 ms");
}

static void error_objects_may_be_anything(void **state)
{
	assert_misbehaves(*state, "error({ code = 7 })", "the error is a table, not a message");
	assert_misbehaves(*state, "error()", "the error is a nil");
	assert_misbehaves(*state, "error(print)", "the error is a function");
	assert_misbehaves(*state, "error(q)", "the error is a userdata");
	assert_misbehaves(*state,
	                  "error(setmetatable({}, { __tostring = function() while true do end end, "
	                  "__name = 'evil', __index = error }))",
	                  "the error is a table");
	assert_misbehaves(*state, "error('no')", "script.lua:3: no");
}

static void recursion_has_an_end(void **state)
{
	static const char *const ways[] = {
	        "local function f() return 1 + f() end f()",
	        "local function f() return (('a'):gsub('a', f)) end f()",
	        "local function f() pcall(f) return f() end f()",
	        "local function f() coroutine.wrap(f)() end f()",
	        "local function f() xpcall(f, f) error() end f()",
	        "local function f(a) return table.sort({ 1, 2, 3 }, f) end f()",
	        "local t = {} for i = 1, 3000 do t = setmetatable({}, { __index = t }) end return "
	        "t.x.y",
	        "local mt = {} mt.__index = function(t, k) return t[k .. 'x'] end "
	        "return setmetatable({}, mt).x",
	        "local mt = {} mt.__tostring = tostring return tostring(setmetatable({}, mt))",
	        "local mt = {} mt.__concat = function(a, b) return a .. b end "
	        "return setmetatable({}, mt) .. ''",
	        "local mt = {} mt.__eq = function(a, b) return a == b end "
	        "return setmetatable({}, mt) == setmetatable({}, mt)",
	        "local s = ('('):rep(10000) return assert(load('return ' .. s))",
	        "local s = ('a'):rep(5000) return s:find(('a?'):rep(5000))",
	};
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		assert_misbehaves(*state, ways[i], "error=");
}

static void nonsense_is_not_looked_into(void **state)
{
	static const char evil[] =
	        "local evil = setmetatable({}, { __index = function() while true do "
	        "end end, __name = 'x', __tostring = error, __eq = error, "
	        "__call = error, __metatable = error })";
	assert_misbehaves_with(*state, evil, "return evil", "the policy returned a table");
	assert_misbehaves(*state, "return 'primary'", "the policy returned a string");
	assert_misbehaves(*state, "return q.session", "the policy returned a userdata");
	assert_misbehaves_with(*state, evil, "return moongate.reject(evil)", "string expected");
	assert_misbehaves_with(*state, evil, "q.key = evil", "query.key must be a string");
	assert_misbehaves_with(*state, evil, "return q[evil]", "error=");
	assert_misbehaves_with(*state, evil, "print(evil)", "error=");
	assert_misbehaves_with(*state, evil, "return evil.x", "script.lua:1: the policy used up");
}

static void a_query_is_not_kept(void **state)
{
	assert_misbehaves_with(
	        *state, "local kept cluster:route { to = 'any' } ",
	        "kept = coroutine.wrap(function() coroutine.yield() end) kept() kept() "
	        "kept()",
	        "cannot resume dead coroutine");
	struct policy *p = load_policy(*state, "local kept return function(q) "
	                                       "if kept then return moongate.reject(kept.kind) end "
	                                       "kept = q end");
	assert_string_equal(answer(p, &a_read), "replicas");
	assert_string_equal(answer(p, &a_write), "reject: insert"); /* it is this call's, always */
}

static void yielding_has_no_one_to_yield_to(void **state)
{
	assert_misbehaves(*state, "coroutine.yield(q)",
	                  "attempt to yield from outside a coroutine");
	assert_misbehaves(*state, "return pcall(coroutine.yield) and nil or error('no')",
	                  "script.lua:3: no");
}

static void clusters_and_routes_are_not_made_for_each_query(void **state)
{
	assert_misbehaves(*state, "moongate.cluster { primary = 'postgres://localhost:1/d' }",
	                  "not for each query");
	assert_misbehaves_with(*state,
	                       "local other = moongate.cluster { primary = 'postgres://h:1/d' }",
	                       "other:route { to = 'primary' }", "not for each query");
}

static void a_persistent_failure_is_taken_out_and_said_once(void **state)
{
	struct policy *p = load_misbehaving(*state, "", "while true do pcall(error) end");
	for (int i = 0; i < POLICY_BREAKER; i++)
		assert_string_equal(answer(p, &a_read), "fallback");
	assert_true(policy_stats(p).tripped);
	struct verdict v = ask(p, &a_write);
	assert_string_equal(verdict_name(&v), "primary");
	assert_true(v.fallback);
	assert_int_equal(count_in(logged(*state), "policy taken out of the path"), 1);
	assert_logged(*state, "errors_in_a_row=100");
	assert_int_equal(policy_stats(p).errors, POLICY_BREAKER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	        TEST(an_infinite_loop_ends),
	        TEST(a_loop_of_protected_calls_ends),
	        TEST(memory_is_bounded_for_a_call),
	        TEST(a_refusal_of_memory_ends_the_call),
	        TEST(memory_kept_for_good_ends_at_the_cap),
	        TEST(the_text_of_a_query_may_be_long),
	        TEST(bombs_of_repetition_end),
	        TEST(bombs_of_patterns_end),
	        TEST(long_calls_into_c_are_charged),
	        TEST(a_length_may_not_change_its_mind),
	        TEST(time_is_bounded_too),
	        TEST(error_objects_may_be_anything),
	        TEST(recursion_has_an_end),
	        TEST(nonsense_is_not_looked_into),
	        TEST(a_query_is_not_kept),
	        TEST(yielding_has_no_one_to_yield_to),
	        TEST(clusters_and_routes_are_not_made_for_each_query),
	        TEST(a_persistent_failure_is_taken_out_and_said_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
