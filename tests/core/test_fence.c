/* test_fence.c - a policy cannot keep the loop, or all memory, whatever it does. */
/* SPDX-License-Identifier: MIT */
#include "script_fixture.h"

/* Each would run for ever. */
static const char *const endless[] = {
        "while true do end",
        "repeat until false",
        "local function f() return f() end f()",
        "while true do pcall(error) end",
        "local function f() while true do end end while true do pcall(f) end",
        "local function f() return pcall(f) end while true do pcall(f) end",
        "return pcall(function() while true do end end)",
        "xpcall(function() while true do end end, function() while true do end end)",
        "while true do xpcall(error, function() while true do end end) end",
        "xpcall(error, function() while true do pcall(error) end end)",
        "local co = coroutine.create(function() while true do end end) "
        "while true do coroutine.resume(co) end",
        "while true do coroutine.wrap(function() while true do end end)() end",
        "while true do pcall(coroutine.wrap(function() while true do end end)) end",
        "while true do pcall(coroutine.wrap(function() for i = 1, 100 do end end)) end",
        "local function f() for i = 1, 20 do pcall(coroutine.wrap(f)) end end f()",
        "while true do coroutine.resume(made_before) end",
        "local x <close> = setmetatable({}, { __close = function() while true do end end }) "
        "while true do end",
        "pcall(function() local x <close> = setmetatable({}, { __close = function() "
        "while true do pcall(error) end end }) while true do end end)",
        "local co = coroutine.create(function() local x <close> = setmetatable({}, "
        "{ __close = function() while true do end end }) while true do end end) "
        "coroutine.resume(co) coroutine.close(co)",
        "local co = coroutine.create(function() local x <close> = setmetatable({}, "
        "{ __close = function() while true do end end }) coroutine.yield() end) "
        "coroutine.resume(co) coroutine.close(co)",
        "coroutine.wrap(function() local x <close> = setmetatable({}, "
        "{ __close = function() while true do end end }) while true do end end)()",
        "string.gsub('a', 'a', function() while true do pcall(error) end end)",
        "table.sort({ 3, 2, 1 }, function() while true do end end)",
        "local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) "
        "while true do pcall(function() return t[1] end) end",
        "for k in function() return 1 end do end",
        "load('while true do end')()",
        "load(function() while true do end end)",
        "return setmetatable({}, { __concat = function() while true do end end }) .. ''",
};

static void endless_code_ends(void **state)
{
	for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
		char text[1024];
		snprintf(text, sizeof text,
		         "made_before = coroutine.create(function() while true do "
		         "pcall(coroutine.yield) for i = 1, 10000 do end end end) "
		         "return function(q) %s end",
		         endless[i]);
		struct policy *p = load_policy(*state, text);
		print_message("%s\n", endless[i]);
		assert_string_equal(answer(p, &a_read), "fallback");
		assert_string_equal(answer(p, &a_read), "fallback");
	}
	assert_non_null(strstr(logged(*state), "used up its 100000 instructions"));
}

static void the_next_call_has_a_budget_of_its_own(void **state)
{
	struct policy *p = load_policy(
	        *state, "local n = 0 return function(q) n = n + 1 "
	                "if n % 2 == 0 then while true do end end for i = 1, 20000 do end end");
	for (int i = 0; i < 20; i++)
		assert_string_equal(answer(p, &a_read), i % 2 ? "fallback" : "replicas");
}

static void a_long_script_may_load(void **state)
{
	load_policy(*state, "for i = 1, 1000000 do end return function() end");
}

static void a_finalizer_is_refused(void **state)
{
	struct policy *p =
	        load_policy(*state, "return function(q) setmetatable({}, { __gc = print }) end");
	assert_string_equal(answer(p, &a_read), "fallback");
	p = load_policy(*state, "return function(q) local mt = {} local x = setmetatable({}, mt) "
	                        "mt.__gc = function() while true do end end x = nil "
	                        "collectgarbage() end");
	assert_string_equal(answer(p, &a_read), "replicas");
	p = load_policy(
	        *state,
	        "return function(q) for _, x in ipairs { q, cluster, cluster.primary, "
	        "moongate.reject('x'), q.session } do getmetatable(x).__gc = print end end");
	assert_string_equal(answer(p, &a_read), "fallback");
}

/* Each wants more than there is. */
static const char *const greedy[] = {
        "return ('x'):rep(1 << 30)",
        "while true do kept[#kept + 1] = {} end",
        "local s = 'x' while true do s = s .. s end",
        "while true do pcall(function() kept[#kept + 1] = ('x'):rep(100000) end) end",
        "local function f() local t = { pcall(f) } return f() end return f()",
        "kept[1] = table.pack(table.unpack({}, 1, 900000)) return f(kept)",
};

static void memory_is_capped(void **state)
{
	for (size_t i = 0; i < sizeof greedy / sizeof *greedy; i++) {
		char text[512];
		snprintf(text, sizeof text, "kept = {} return function(q) %s end", greedy[i]);
		print_message("%s\n", greedy[i]);
		struct policy *p = load_policy_capped(*state, text, 4 << 20);
		for (int n = 0; n < 10; n++)
			assert_string_equal(answer(p, &a_read), "fallback");
	}
}

static void a_script_that_kept_all_memory_still_gets_answers(void **state)
{
	struct policy *p =
	        load_policy_capped(*state,
	                           "local kept = {} local r = cluster:route { to = 'replicas' } "
	                           "return function(q) if q.intent == 'write' then "
	                           "while true do kept = { kept } end end return r end",
	                           4 << 20);
	for (int n = 0; n < 300; n++)
		ask(p, &a_write);
	struct verdict v = ask(p, &a_write);
	assert_string_equal(verdict_name(&v), "primary");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	        TEST(endless_code_ends),
	        TEST(the_next_call_has_a_budget_of_its_own),
	        TEST(a_long_script_may_load),
	        TEST(a_finalizer_is_refused),
	        TEST(memory_is_capped),
	        TEST(a_script_that_kept_all_memory_still_gets_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
