/* test_isolation.c - policies of one script share a Lua state, and cannot harm each other in it. */
/* SPDX-License-Identifier: MIT */
#include "script_fixture.h"

/* Two clusters, each with a policy: the first does what it is told, the second a bit of everything
 * that the libraries and the module have. */
static const char both[] =
        "local moongate = require 'moongate'\n"
        "at_load = 1\n"
        "local function bad(cluster) return function(q) %s end end\n"
        "local function good(cluster)\n"
        "  local r = cluster:route { to = 'replicas', name = 'good' }\n"
        "  return function(q)\n"
        "    assert(string.find('abc', 'b') == 2 and ('abc'):find('c') == 3 and #('x'):rep(3) == "
        "3)\n"
        "    assert(table.concat({ 1, 2 }, ',') == '1,2' and math.floor(2.5) == 2)\n"
        "    assert(utf8.char(228) == '\\xc3\\xa4' and os.time() and coroutine.wrap(print))\n"
        "    assert(moongate.reject and require 'moongate'.reject == moongate.reject)\n"
        "    assert(require 'moongate.core'.reject and cluster.route and cluster.primary)\n"
        "    assert(tostring(at_load) == '1' and leaked == nil and string.trim == nil)\n"
        "    assert(type(moongate.policies) == 'nil' and select('#', pcall(error)) == 2)\n"
        "    for name, f in pairs(string) do assert(type(f) == 'function', name) end\n"
        "    return r\n"
        "  end\n"
        "end\n"
        "local function new(name, policy) return moongate.cluster { primary = 'postgres://' .. "
        "name "
        "..  ':1/d', replicas = { 'postgres://' .. name .. ':2/d' }, policy = policy } end\n"
        "return moongate.router { listen = 'a:1', clusters = { bad = new('one', bad), "
        "good = new('two', good) } }";

static void load_both(struct fixture *f, const char *body)
{
	char text[8192];
	snprintf(text, sizeof text, both, body);
	if (!load_text(f, text))
		fail_msg("%s", f->error);
}

/* `why`: NULL where the attempt is no error, but has no effect. */
static void assert_harmless(struct fixture *f, const char *body, const char *why)
{
	print_message("%s\n", body);
	load_both(f, body);
	struct policy *bad = script_cluster(f->script, "bad")->policy;
	struct policy *good = script_cluster(f->script, "good")->policy;
	assert_string_equal(answer(good, &a_read), "good");
	assert_string_equal(answer(bad, &a_read), why ? "fallback" : "replicas");
	if (why && !strstr(logged(f), why))
		fail_msg("expected \"%s\" in: %s", why, logged(f));
	if (strcmp(answer(good, &a_read), "good") != 0)
		fail_msg("it is harmed: %s", logged(f));
}

#define READ_ONLY "cannot be set: the libraries are read-only in a routing script"

static void libraries_are_read_only(void **state)
{
	static const char *const ways[] = {
	        "string.find = nil",
	        "string.trim = print",
	        "table.insert = error",
	        "math.floor = nil",
	        "utf8.char = nil",
	        "coroutine.wrap = nil",
	        "os.time = nil",
	        "rawset(string, 'find', error)",
	        "rawset(string, 'trim', print)",
	        "package.loaded.string = {}",
	        "package.loaded['moongate'] = nil",
	        "rawset(package.loaded, 'moongate.core', nil)",
	        "package.path = ''",
	        "table.insert(string, print)",
	        "require 'string'.find = nil",
	};
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		assert_harmless(*state, ways[i], READ_ONLY);
}

static void modules_of_moongate_are_read_only(void **state)
{
	static const char *const ways[] = {
	        "moongate.reject = nil",
	        "require 'moongate'.reject = error",
	        "rawset(moongate, 'reject', error)",
	        "require 'moongate.core'.reject = nil",
	        "require 'moongate.core'.cluster_methods.route = nil",
	        "for _, t in pairs(package.loaded) do if type(t) == 'table' then t.reject = 1 end "
	        "end",
	};
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		assert_harmless(*state, ways[i], "cannot be set: ");
}

static void globals_are_read_only_once_the_script_is_loaded(void **state)
{
	static const char *const ways[] = {
	        "leaked = 1",
	        "at_load = 2",
	        "_G.leaked = 1",
	        "string = nil",
	        "rawset(_G, 'pairs', 1)",
	        "_ENV.assert = print",
	        "load('leaked = 1')()",
	};
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		assert_harmless(*state, ways[i],
		                "cannot be set once the script is loaded; what a policy "
		                "keeps belongs into locals of its factory");
}

static void metatables_are_out_of_reach(void **state)
{
	assert_harmless(*state, "getmetatable('').__index = error", "attempt to index a boolean");
	assert_harmless(*state, "getmetatable(string).__index.find = nil",
	                "attempt to index a boolean");
	assert_harmless(*state, "setmetatable(string, {})", "cannot change a protected metatable");
	assert_harmless(*state, "setmetatable(_G, {})", "cannot change a protected metatable");
	assert_harmless(*state, "getmetatable(cluster).__index = error",
	                "attempt to index a boolean");
	assert_harmless(*state, "collectgarbage('stop')", "a policy cannot set how memory is");
}

/* Neither by what iterates, nor by calling what made the module once more. */
static void nothing_leads_behind_what_is_read_only(void **state)
{
	assert_harmless(*state, "local _, t = pairs(string) t.find = nil", READ_ONLY);
	assert_harmless(*state, "local f = pairs(string) f(string).find = nil", "attempt to index");
	assert_harmless(*state, "local _, t = pairs(_G) t.leaked = 1", "cannot be set once");
	assert_harmless(*state, "package.preload['moongate.core']()", "attempt to index a nil");
	assert_harmless(*state, "package.searchers[1]()", "attempt to index a nil");
	assert_harmless(*state,
	                "q.session.vars.a = 1 q.tables[1] = nil q.tags.x = {} local t = {} "
	                "setmetatable(q.session.vars, { __index = error })",
	                NULL);
}

static void what_is_read_only_reads_as_ever(void **state)
{
	assert_harmless(
	        *state,
	        "local n = 0 for k, v in pairs(math) do n = n + 1 assert(math[k] == v) end "
	        "assert(n > 20 and next(math) and rawget(math, 'pi') == math.pi) "
	        "for k, v in next, table do assert(table[k] == v) end "
	        "assert(_G._G == _G and _G.string == string and rawget(_G, 'at_load') == 1) "
	        "assert(package.loaded.string == string and require 'math' == math) "
	        "local t = rawset({}, 1, 2) assert(t[1] == 2 and rawget(t, 1) == 2) "
	        "assert(next({}) == nil and load('return at_load')() == 1)",
	        NULL);
}

static void a_script_that_extends_a_library_is_refused(void **state)
{
	struct fixture *f = *state;
	assert_false(load_text(f, "function string.trim() end"));
	assert_non_null(strstr(f->error, "script.lua:1: trim " READ_ONLY));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	        TEST(libraries_are_read_only),
	        TEST(modules_of_moongate_are_read_only),
	        TEST(globals_are_read_only_once_the_script_is_loaded),
	        TEST(metatables_are_out_of_reach),
	        TEST(nothing_leads_behind_what_is_read_only),
	        TEST(what_is_read_only_reads_as_ever),
	        TEST(a_script_that_extends_a_library_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
