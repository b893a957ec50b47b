/* test_states.c - several Lua states in one process, each with a module of its own, in threads. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "script/module.h"

#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define STATES 4
#define ROUNDS 5

/* Nobody answers there: all that is done is done without PostgreSQL. `name` tells the states apart.
 */
static const char script[] =
        "package.path = 'lua/?.lua;lua/?/init.lua'\n"
        "local moongate = require 'moongate'\n"
        "local cluster = moongate.cluster {\n"
        "  primary = { url = 'postgres://127.0.0.1:1/d', name = name },\n"
        "  pool = { acquire_timeout = 0.05 }, backoff = { initial = 0.01 } }\n"
        "assert(cluster.primary.name == name)\n"
        "local order = {}\n"
        "local function sleeper(seconds)\n"
        "  return function() moongate.sleep(seconds) order[#order + 1] = seconds end\n"
        "end\n"
        "moongate.gather(sleeper(0.02), sleeper(0), sleeper(0.01), function()\n"
        "  local rows, message, code = cluster:query 'select 1'\n"
        "  assert(not rows and code == '57P03' and message:find(name, 1, true), message)\n"
        "end)\n"
        "assert(#order == 3 and order[1] == 0 and order[3] == 0.02)\n"
        "kept = cluster\n"; /* until the state is closed */

static lua_State *open_state(int number)
{
	lua_State *L = luaL_newstate();
	luaL_openlibs(L);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	lua_pushcfunction(L, luaopen_moongate_core);
	lua_setfield(L, -2, "moongate.core");
	lua_pop(L, 1);
	lua_pushfstring(L, "state%d", number);
	lua_setglobal(L, "name");
	return L;
}

static bool run(lua_State *L)
{
	bool well = luaL_dostring(L, script) == LUA_OK;
	if (!well)
		print_error("%s\n", lua_tostring(L, -1));
	return well;
}

static void *rounds(void *arg)
{
	bool well = true;
	for (int i = 0; i < ROUNDS && well; i++) {
		lua_State *L = open_state(*(int *)arg);
		well = run(L);
		lua_close(L);
	}
	return well ? arg : NULL;
}

static void work_in_threads_of_their_own(void **state)
{
	(void)state;
	pthread_t threads[STATES];
	int numbers[STATES];
	for (int i = 0; i < STATES; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, rounds, &numbers[i]), 0);
	}
	for (int i = 0; i < STATES; i++) {
		void *well;
		pthread_join(threads[i], &well);
		assert_ptr_equal(well, &numbers[i]);
	}
}

static void work_beside_one_another_in_one_thread(void **state)
{
	(void)state;
	lua_State *first = open_state(1), *second = open_state(2);
	assert_true(run(first) && run(second) && run(first));
	lua_close(first);
	assert_true(run(second));
	lua_close(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(work_in_threads_of_their_own),
	        cmocka_unit_test(work_beside_one_another_in_one_thread),
	};
	setenv("MOONGATE_LOG", "off", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
