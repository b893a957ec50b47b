/* live_lua.c - moongate_open_lua() on a real PostgreSQL: see live_api.c. */
/* SPDX-License-Identifier: MIT */
#include "api_fixture.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

static lua_State *open_lua(struct api *a)
{
	lua_State *L = luaL_newstate();
	luaL_openlibs(L);
	/* What the machine has installed is of no matter. */
	assert_int_equal(LUA_OK, luaL_dostring(L, "package.path, package.cpath = '', ''"));
	assert_true(moongate_open_lua(a->m, L));
	assert_false(moongate_open_lua(a->m, L));
	return L;
}

static void run_lua(lua_State *L, const char *text)
{
	if (luaL_dostring(L, text))
		fail_msg("%s", lua_tostring(L, -1));
}

static bool is_true(lua_State *L, const char *global)
{
	lua_getglobal(L, global);
	bool yes = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return yes;
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	++*(unsigned *)timer->data;
}

static const char connects[] = "moongate = require 'moongate' "
                               "cluster = moongate.cluster { primary = os.getenv 'DATABASE_URL', "
                               "replicas = { os.getenv 'DATABASE_REPLICA_URL' } } ";

static void tasks_of_lua_go_on_with_the_programs_loop(void **state)
{
	struct api *a = *state;
	unsigned ticks = 0;
	ev_timer timer;
	lua_State *L = open_lua(a);
	run_lua(L, connects);
	run_lua(L, "local function slow() return cluster:value 'select 1 from pg_sleep(0.1)' end "
	           "moongate.spawn(function() "
	           "  local all = moongate.gather(slow, slow) "
	           "  coroutine.yield() "
	           "  moongate.sleep(0.01) "
	           "  sum = all[1][1] + all[2][1] "
	           "  done = true "
	           "end)");
	assert_false(is_true(L, "done"));
	ev_timer_init(&timer, on_tick, 0.01, 0.01);
	timer.data = &ticks;
	ev_timer_start(a->loop, &timer);
	while (!is_true(L, "done"))
		ev_run(a->loop, EVRUN_ONCE);
	ev_timer_stop(a->loop, &timer);
	assert_true(ticks > 2);
	run_lua(L, "assert(sum == 2) cluster:close()");
	run_lua(L, "assert(moongate.run(function() return 'as ever' end) == 'as ever')");
	lua_close(L);
}

static void lua_blocks_by_running_the_programs_loop(void **state)
{
	struct api *a = *state;
	unsigned ticks = 0;
	ev_timer timer;
	lua_State *L = open_lua(a);
	run_lua(L, connects);
	ev_timer_init(&timer, on_tick, 0.01, 0.01);
	timer.data = &ticks;
	ev_timer_start(a->loop, &timer);
	run_lua(L, "moongate.spawn(function() moongate.sleep(0.01) beside = true end) "
	           "assert(cluster:value 'select 1 from pg_sleep(0.1)' == 1) "
	           "assert(beside) "
	           "assert(moongate.run(function() return cluster:value 'select 2' end) == 2)");
	assert_true(ticks > 2);
	ev_timer_stop(a->loop, &timer);
	lua_close(L); /* with a cluster that is open */
	moongate_close(a->c);
	ev_run(a->loop, 0); /* which returns */
}

static void tasks_of_lua_that_yield_do_not_wait_for_events(void **state)
{
	struct api *a = *state;
	lua_State *L = open_lua(a);
	ev_timer timer;
	unsigned ticks = 0;
	moongate_close(a->c);
	ev_timer_init(&timer, on_tick, 0.3, 0.3); /* nothing else wakes the loop */
	timer.data = &ticks;
	ev_timer_start(a->loop, &timer);
	run_lua(L, "require 'moongate'.spawn(function() "
	           "for _ = 1, 50 do coroutine.yield() end done = true end)");
	while (!is_true(L, "done"))
		ev_run(a->loop, EVRUN_ONCE);
	assert_true(ticks < 10);
	ev_timer_stop(a->loop, &timer);
	lua_close(L);
}

static void time_goes_on_while_the_program_works(void **state)
{
	struct api *a = *state;
	unsigned ticks = 0;
	ev_timer timer;
	lua_State *L = open_lua(a);
	run_lua(L, connects);
	run_lua(L, "cluster:value 'select 1'");
	ev_timer_init(&timer, on_tick, 0.1, 0);
	timer.data = &ticks;
	ev_timer_start(a->loop, &timer);
	usleep(150000);
	run_lua(L, "cluster:value 'select 1'");
	assert_int_equal(1, ticks); /* the call ran the loop, where the timer was due */
	lua_close(L);
}

static void a_task_that_fails_is_logged_where_nobody_waits(void **state)
{
	struct api *a = *state;
	char text[2048] = "";
	FILE *log = tmpfile();
	moongate_log(a->m, "error", fileno(log));
	lua_State *L = open_lua(a);
	run_lua(L, "moongate = require 'moongate' "
	           "moongate.spawn(function() moongate.sleep(0) error 'so it goes' end) "
	           "moongate.spawn(function() "
	           "  local task = moongate.spawn(function() error 'heard of' end) "
	           "  pcall(task.wait, task) "
	           "  done = true "
	           "end)");
	while (!*text || !is_true(L, "done")) {
		ev_run(a->loop, EVRUN_ONCE);
		pread(fileno(log), text, sizeof text - 1, 0);
	}
	assert_non_null(strstr(text, "so it goes"));
	assert_null(strstr(text, "heard of"));
	lua_close(L);
	moongate_log(a->m, "off", STDERR_FILENO);
	fclose(log);
}

static void a_lua_state_may_be_closed_with_tasks_under_way(void **state)
{
	struct api *a = *state;
	lua_State *L = open_lua(a);
	run_lua(L, connects);
	run_lua(L, "moongate.spawn(function() cluster:query 'select pg_sleep(30)' end) "
	           "moongate.spawn(function() while true do coroutine.yield() end end) ");
	for (int i = 0; i < 20; i++)
		ev_run(a->loop, EVRUN_ONCE);
	lua_close(L);
	moongate_close(a->c);
	ev_run(a->loop, 0); /* which returns */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_set_up_live, api_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(tasks_of_lua_go_on_with_the_programs_loop),
	        TEST(lua_blocks_by_running_the_programs_loop),
	        TEST(tasks_of_lua_that_yield_do_not_wait_for_events),
	        TEST(time_goes_on_while_the_program_works),
	        TEST(a_task_that_fails_is_logged_where_nobody_waits),
	        TEST(a_lua_state_may_be_closed_with_tasks_under_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
