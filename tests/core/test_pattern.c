/* test_pattern.c - the sandbox's pattern functions answer as Lua's own do, and end. */
/* SPDX-License-Identifier: MIT */
#include "script/pattern.h"
#include "script/strings.h"

#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* `ours` beside `string`; what differs raises. */
static const char compare[] =
        "function show(...) local t = table.pack(...) "
        "for i = 1, t.n do t[i] = math.type(t[i]) == 'float' and 'f' .. t[i] "
        "or string.format('%q', t[i]) end return table.concat(t, ' ') end\n"
        "function both(name, ...) "
        "local a, b = show(pcall(string[name], ...)), show(pcall(ours[name], ...)) "
        "a = a:gsub(\"'string%.%w+'\", \"'?'\") " /* a name that Lua finds in package.loaded */
        "if a ~= b then error(('%s(%s)\\n  Lua:  %s\\n  ours: %s')"
        ":format(name, show(...), a, b), 0) end end\n"
        "function all(f, s, p, init) local r = {} "
        "local ok, why = pcall(function() for a, b, c in f(s, p, init) do "
        "r[#r + 1] = show(a, b, c) end end) "
        "return tostring(why) .. table.concat(r, ';') end\n"
        "function iterate(...) "
        "local a, b = all(string.gmatch, ...), all(ours.gmatch, ...) "
        "if a ~= b then error(('gmatch(%s)\\n  Lua:  %s\\n  ours: %s')"
        ":format(show(...), a, b), 0) end end\n";

static lua_State *open_both(struct fence *fence)
{
	lua_State *L = luaL_newstate();
	assert_non_null(L);
	luaL_openlibs(L);
	lua_newtable(L);
	strings_open(L, fence);
	lua_setglobal(L, "ours");
	assert_int_equal(luaL_dostring(L, compare), LUA_OK);
	return L;
}

static void run(const char *text)
{
	struct fence fence = {0};
	lua_State *L = open_both(&fence);
	if (luaL_dostring(L, text) != LUA_OK)
		fail_msg("%s", lua_tostring(L, -1));
	lua_close(L);
}

static void random_patterns_are_matched_as_by_lua(void **state)
{
	(void)state;
	run("math.randomseed(42) local random = math.random\n"
	    "local parts = { 'a', 'b', 'c', '.', '%a', '%A', '%d', '%s', '%w', '%W', '%p', '%l', "
	    "'%u', '%x', '%g', '%c', '%z', '%%', '%.', '[abc]', '[^abc]', '[a-c]', '[%a-]', "
	    "'[^%s%d]', '[]]', '[^]a]', '[a-]', '[a%]]', '[-a]', '[%a-z]', '(', ')', '()', '(a*)', "
	    "'(.-)', '*', '+', '-', '?', '^', '$', '%1', '%2', '%0', '%b()', '%bab', '%baa', "
	    "'%f[%a]', '%f[^%w]', '%f[%z]', '%b', '%f', '%', '[', '[^', '[a', ']', '\\0', "
	    "'\\xe4', '' }\n"
	    "local chars = { 'a', 'b', 'c', 'A', '1', ' ', '(', ')', '.', '-', ']', '\\0', "
	    "'\\xe4', '%' }\n"
	    "local texts = { '%0', '%1', '<%1%2>', '%%', 'x', '', '%', '%a', '%9' }\n"
	    "local function some(list, most) local t = {} "
	    "for i = 1, random(0, most) do t[i] = list[random(#list)] end "
	    "return table.concat(t) end\n"
	    "local function init() if random(3) > 1 then return nil end return random(-9, 9) end\n"
	    "for i = 1, 50000 do local s, p = some(chars, 8), some(parts, 5) "
	    "both('find', s, p, init(), random(8) == 1) both('match', s, p, init()) "
	    "both('gsub', s, p, texts[random(#texts)], init()) "
	    "if i % 4 == 0 then iterate(s, p, init()) "
	    "both('gsub', s, p, { a = 'x', b = false, [1] = 7, c = 1.5, A = {} }) "
	    "both('gsub', s, p, function(a, b) if a == 'c' then return end "
	    "return tostring(a) .. '|' .. tostring(b) end) end end");
}

static void arguments_are_checked_as_by_luas_own(void **state)
{
	(void)state;
	run("local f = { 'find', 'match', 'gsub' } local deep = ('a?'):rep(250) "
	    "for _, name in ipairs(f) do both(name) both(name, 'a') both(name, {}, 'a') "
	    "both(name, 'a', {}) both(name, 12, 2) both(name, 1.5, '%.', 'x') end "
	    "for _, i in ipairs { 0, 1, 2, 3, 4, 5, -1, -3, -4, math.mininteger, math.maxinteger } "
	    "do "
	    "both('find', 'abc', '', i) both('find', 'abc', 'c', i, true) both('match', 'abc', '', "
	    "i) "
	    "iterate('abc', '', i) iterate('abc', '.', i) both('gsub', 'abc', '.', 'x', i) end "
	    "both('find', 'a', 'a', 'x') both('find', 'a', 'a', 1.5) both('gsub', 'a', 'a') "
	    "both('gsub', 'a', 'a', true) both('gsub', 'abc', '%w', 1) both('gsub', 'a', 'b', 'x', "
	    "1.5) "
	    "both('gsub', 'abc', '^a', 'x') both('gsub', 'aaa', '^a', '') both('gsub', 'abc', '', "
	    "'-') "
	    "both('gsub', 'hello world', 'o*', 'x') both('gsub', 'a', '(', 'x') "
	    "both('gsub', 'abc', '%w', function() return {} end) both('gsub', 'abc', '()', '%1') "
	    "both('find', ('a'):rep(300), deep) both('find', ('x'):rep(300), deep .. 'b') "
	    "both('find', 'a', ('('):rep(33)) both('find', 'a', ('()'):rep(33)) "
	    "both('match', ('a'):rep(40), ('(a)'):rep(32)) both('find', ('a'):rep(500), '.-b') "
	    "both('find', ('a'):rep(500), 'a*$') both('match', 'key = value', "
	    "'^(%w+)%s*=%s*(%w+)$') "
	    "both('find', ('(a)'):rep(9), '%b()', 5)");
}

static void steps_bound_what_a_match_may_take(void **state)
{
	(void)state;
	static const char *const bombs[] = {
	        ".-.-.-.-.-b", "a*a*a*a*a*b",     "(.*)(.*)(.*)(.*)%4b", "a?a?a?a?a?a?a?a?a*a*a*b",
	        "%f[b]",       "[^b]-[^b]-[^b]-b"};
	char subject[5001];
	memset(subject, 'a', sizeof subject - 1);
	subject[sizeof subject - 1] = '\0';
	for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
		struct pattern p = {.subject = subject,
		                    .subject_end = subject + sizeof subject - 1,
		                    .text = bombs[i],
		                    .end = bombs[i] + strlen(bombs[i]),
		                    .steps = 100000};
		for (const char *at = subject; at < p.subject_end && p.steps >= 0; at++)
			assert_null(pattern_match(&p, at));
		assert_null(p.error);
		assert_true(p.steps > -5000); /* the last step was one of some kind */
		assert_true(p.steps < (strcmp(bombs[i], "%f[b]") == 0 ? 100000 : 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(random_patterns_are_matched_as_by_lua),
	        cmocka_unit_test(arguments_are_checked_as_by_luas_own),
	        cmocka_unit_test(steps_bound_what_a_match_may_take),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
