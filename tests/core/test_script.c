/* test_script.c - loading a routing script: what it may do, and what it is told when it is wrong.
 */
/* SPDX-License-Identifier: MIT */
#include "script_fixture.h"

static bool load_file(struct fixture *f, const char *path)
{
	struct script_options options = {"lua/?.lua;lua/?/init.lua", 0};
	script_free(f->script);
	f->script = script_load(&f->context, path, &options, f->error, sizeof f->error);
	return f->script;
}

static void assert_refused(struct fixture *f, const char *text, const char *why)
{
	char form[sizeof f->path + 2];
	snprintf(form, sizeof form, "%s:", f->path);
	assert_false(load_text(f, text));
	if (!strstr(f->error, why) || strncmp(f->error, form, strlen(form)) != 0)
		fail_msg("expected \"%s\" in: %s", why, f->error);
}

static void the_default_script_takes_its_cluster_from_the_environment(void **state)
{
	struct fixture *f = *state;
	setenv("DATABASE_URL", "postgres://u:secret@localhost:1/d", 1);
	setenv("DATABASE_REPLICA_URL", " postgres://localhost:2/d  postgres://localhost:3/d ", 1);
	setenv("MOONGATE_LISTEN", "127.0.0.1:7777", 1);
	setenv("MOONGATE_REGION", "eu", 1);
	bool loaded = load_file(f, "scripts/read_write_split.lua");
	unsetenv("DATABASE_REPLICA_URL");
	unsetenv("MOONGATE_LISTEN");
	unsetenv("MOONGATE_REGION");
	assert_true(loaded);
	assert_string_equal(script_listen(f->script), "127.0.0.1:7777");
	assert_int_equal(script_cluster_count(f->script), 1);
	const struct script_cluster *c = script_cluster(f->script, "anything");
	assert_int_equal(c->cluster->endpoint_count, 3);
	assert_string_equal(c->cluster->endpoints[2]->region, "eu");
	assert_string_equal(answer(c->policy, &a_read), "replicas");
	assert_string_equal(answer(c->policy, &a_write), "primary");
}

static void the_default_script_needs_no_replica(void **state)
{
	struct fixture *f = *state;
	setenv("DATABASE_URL", "postgres://localhost:1/d", 1);
	assert_true(load_file(f, "scripts/read_write_split.lua"));
	assert_string_equal(script_listen(f->script), "127.0.0.1:6432");
	assert_int_equal(script_cluster_at(f->script, 0)->cluster->endpoint_count, 1);
}

static void the_default_script_says_what_is_missing(void **state)
{
	struct fixture *f = *state;
	unsetenv("DATABASE_URL");
	assert_false(load_file(f, "scripts/read_write_split.lua"));
	assert_non_null(strstr(f->error, "scripts/read_write_split.lua:"));
	assert_non_null(strstr(f->error, "DATABASE_URL is not set"));
}

static void databases_have_clusters_of_their_own(void **state)
{
	struct fixture *f = *state;
	assert_true(load_text(f, "local m = require 'moongate' local function c(n) "
	                         "return m.cluster { primary = 'postgres://localhost:' .. n } end "
	                         "return m.router { listen = '[::1]:0', "
	                         "clusters = { app = c(1), ['*'] = c(2) } }"));
	assert_int_equal(script_cluster_count(f->script), 2);
	assert_string_equal(script_cluster(f->script, "app")->cluster->endpoints[0]->port, "1");
	assert_string_equal(script_cluster(f->script, "app")->cluster->name, "app");
	assert_string_equal(script_cluster(f->script, "x")->cluster->endpoints[0]->port, "2");
	assert_true(load_text(f, "local m = require 'moongate' return m.router { listen = 'a:1', "
	                         "clusters = { app = m.cluster { primary = 'postgres://h' } } }"));
	assert_null(script_cluster(f->script, "other"));
}

static void a_script_that_returns_no_router_is_told_what_to_return(void **state)
{
	assert_refused(*state, "", "it returned a nil; a routing script ends with: return");
	assert_refused(*state, "return {}", "it returned a table");
	assert_refused(*state, "return io", "it returned a nil");
	assert_refused(*state, "return require('moongate').cluster { primary = 'postgres://h' }",
	               "it returned a moongate.cluster");
}

static void errors_say_where(void **state)
{
	struct fixture *f = *state;
	assert_refused(f, "local x =\n\n(", ":3:");
	assert_refused(f, "\nerror('no')", ":2: no");
	assert_refused(f, "error({})", "the error is a table, not a message");
	assert_refused(f, "local m = require 'moongate'\n\nm.cluster { replica = {} }",
	               ":3: moongate.cluster: unknown option \"replica\" (did you mean "
	               "\"replicas\"?)");
	assert_refused(f,
	               "local m = require 'moongate'\n"
	               "m.router { listen = 1, cluster = m.cluster { primary = 'postgres://h' } }",
	               ":2: moongate.router: listen must be an address");
	assert_false(load_file(f, "/nowhere/script.lua"));
	assert_non_null(strstr(f->error, "/nowhere/script.lua"));
}

static void no_message_repeats_a_password(void **state)
{
	struct fixture *f = *state;
	static const char *const wrong[] = {
	        "m.cluster { primary = 'postgres://u:secret@h:x y/d?nonsense=1' }",
	        "m.cluster { primary = { url = 'postgres://u:secret@h', name = 1 } }",
	        "m.cluster { primary = 'postgres://h', replicas = 'postgres://u:secret@h' }",
	        "m.cluster { primary = 'postgres://h', pool = 'postgres://u:secret@h' }",
	        "m.router { listen = 'postgres://u:secret@h', "
	        "cluster = m.cluster { primary = 'postgres://h' } }",
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		char text[512];
		snprintf(text, sizeof text, "local m = require 'moongate' %s", wrong[i]);
		assert_false(load_text(f, text));
		assert_null(strstr(f->error, "secret"));
	}
	assert_null(strstr(logged(f), "secret"));
}

static void the_same_cluster_serves_one_name(void **state)
{
	assert_refused(*state,
	               "local m = require 'moongate' local c = m.cluster { primary = "
	               "'postgres://h' } return m.router { listen = 'a:1', "
	               "clusters = { a = c, b = c } }",
	               "the same cluster for \"a\" and \"b\"");
}

static void there_is_no_way_out(void **state)
{
	static const char *const ways[] = {
	        "io.open('/etc/passwd')",
	        "os.execute('true')",
	        "os.exit(0)",
	        "os.remove('/nowhere')",
	        "os.getenv = debug.getinfo",
	        "dofile('/etc/passwd')",
	        "loadfile('/etc/passwd')",
	        "package.loadlib('libc.so.6', '*')",
	        "require 'cjson'",
	        "assert(load(string.dump(function() end)))",
	        "assert(load('\\27Lua', 'x', 'b'))",
	        "assert(load(function() return nil end, 'x', 'b', {}) == nil)",
	        "package.path = '/etc/?' require 'passwd'",
	        "require 'moongate'.cluster { primary = 'postgres://h' }:close()",
	        "getmetatable('').__index.rep = nil setmetatable({}, { __gc = print })",
	};
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		assert_false(load_text(*state, ways[i]));
		print_message("%s\n", ((struct fixture *)*state)->error);
	}
}

static void what_is_harmless_is_there(void **state)
{
	struct fixture *f = *state;
	assert_true(load_text(
	        f, "assert(os.getenv 'PATH' and os.time() and os.date() and os.clock()) "
	           "assert(math.random() and utf8.char(228) and ('x'):rep(3) == 'xxx') "
	           "assert(load('return ...', 'x', 't', {})(3) == 3) "
	           "assert(load(function() return nil end)) assert(load('return x', 'x', nil, { x "
	           "= 7 })() == 7) "
	           "local co = coroutine.wrap(function(a) local b = coroutine.yield(a) return a + "
	           "b end) "
	           "assert(co(1) == 1 and co(2) == 3) "
	           "local ok, e = coroutine.resume(coroutine.create(function() error({}) end)) "
	           "assert(not ok and type(e) == 'table') "
	           "assert(not pcall(coroutine.create, 1)) "
	           "assert(getmetatable(setmetatable({}, { __metatable = 3 })) == 3) "
	           "print('hello', 1) "
	           "local m = require 'moongate' return m.router { listen = 'a:1', "
	           "cluster = m.cluster { primary = 'postgres://h' } }"));
	assert_non_null(strstr(logged(f), "level=info msg=script text=\"hello 1\""));
}

static void modules_may_lie_beside_the_script(void **state)
{
	struct fixture *f = *state;
	char module[128];
	snprintf(module, sizeof module, "%s/beside.lua", f->folder);
	FILE *file = fopen(module, "w");
	fputs("error('found it')", file);
	fclose(file);
	assert_false(load_text(f, "require 'beside'"));
	unlink(module);
	assert_non_null(strstr(f->error, "beside.lua:1: found it"));
}

static void bytecode_is_not_required(void **state)
{
	struct fixture *f = *state;
	struct script_options options = {"", 0};
	char path[128], module[128];
	snprintf(path, sizeof path, "%s/?.luac", f->folder);
	snprintf(module, sizeof module, "%s/compiled.luac", f->folder);
	options.lua_path = path;
	FILE *file = fopen(module, "w");
	fputs("\033Lua", file);
	fclose(file);
	write_script(f, "require 'compiled'");
	f->script = script_load(&f->context, f->path, &options, f->error, sizeof f->error);
	unlink(module);
	assert_null(f->script);
	assert_non_null(strstr(f->error, "attempt to load a binary chunk"));
}

static void an_endless_script_is_refused(void **state)
{
	assert_refused(*state, "while true do pcall(error) end",
	               ":1: the script used up its 100000000 instructions");
}

static void a_script_has_a_cap_on_memory(void **state)
{
	struct fixture *f = *state;
	assert_false(load_text_capped(f, "t = {} while true do t[#t + 1] = {} end", 4 << 20));
	assert_non_null(strstr(f->error, "not enough memory: its cap is 4194304 bytes"));
	for (size_t cap = 1000; cap < 400000; cap += 1000) {
		setenv("DATABASE_URL", "postgres://localhost:1/d", 1);
		struct script_options options = {"lua/?.lua;lua/?/init.lua", cap};
		script_free(script_load(&f->context, "scripts/read_write_split.lua", &options,
		                        f->error, sizeof f->error));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	        TEST(the_default_script_takes_its_cluster_from_the_environment),
	        TEST(the_default_script_needs_no_replica),
	        TEST(the_default_script_says_what_is_missing),
	        TEST(databases_have_clusters_of_their_own),
	        TEST(a_script_that_returns_no_router_is_told_what_to_return),
	        TEST(errors_say_where),
	        TEST(no_message_repeats_a_password),
	        TEST(the_same_cluster_serves_one_name),
	        TEST(there_is_no_way_out),
	        TEST(what_is_harmless_is_there),
	        TEST(modules_may_lie_beside_the_script),
	        TEST(bytecode_is_not_required),
	        TEST(an_endless_script_is_refused),
	        TEST(a_script_has_a_cap_on_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
