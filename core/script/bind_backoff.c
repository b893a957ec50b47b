/* bind_backoff.c - moongate.backoff{...}: the router's own backoff, for an application's retries.
 */
/* SPDX-License-Identifier: MIT */
#include "base/random.h"
#include "cluster/backoff.h"
#include "script/fields.h"
#include "script/handles.h"
#include "script/misuse.h"

#include <limits.h>

enum { UP_METHODS = 1, UP_FIELDS };
enum field { FIELD_NONE, FIELD_FAILURES, FIELD_SPENT };

static const char *const names[] = {[FIELD_FAILURES] = "failures", [FIELD_SPENT] = "spent"};

struct backoff_handle {
	struct backoff_config config;
	unsigned failures; /* in a row */
};

struct backoff_config take_backoff(lua_State *L, int table)
{
	struct backoff_config c = BACKOFF_DEFAULTS;
	c.initial = take_number(L, table, "initial", c.initial);
	c.factor = take_number(L, table, "factor", c.factor);
	c.max = take_number(L, table, "max", c.max);
	c.attempts = take_count(L, table, "attempts", c.attempts);
	c.jitter = take_number(L, table, "jitter", c.jitter);
	return c;
}

static struct backoff_handle *check(lua_State *L)
{
	struct backoff_handle *b = luaL_testudata(L, 1, BACKOFF_HANDLE);
	if (!b)
		misuse(L,
		       "a " BACKOFF_HANDLE " expected, got %s; its methods are called as "
		       "backoff:method()",
		       luaL_typename(L, 1));
	return b;
}

static int push_backoff(lua_State *L, const struct backoff_config *config)
{
	struct backoff_handle *b = lua_newuserdatauv(L, sizeof *b, 0);
	*b = (struct backoff_handle){.config = *config};
	luaL_setmetatable(L, BACKOFF_HANDLE);
	return 1;
}

static int new_backoff(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	struct backoff_config config = take_backoff(L, 1);
	return push_backoff(L, &config);
}

/* core.cluster_backoff(cluster): one like those of its endpoints. */
static int cluster_backoff(lua_State *L)
{
	return push_backoff(L, &check_cluster(L, 1)->cluster->health.backoff);
}

static void push_delay(lua_State *L, const struct backoff_handle *b)
{
	double chance = random_unit(&state_of(L)->context->random);
	lua_pushnumber(L, backoff_delay(&b->config, b->failures, chance));
}

static int backoff_delay_method(lua_State *L)
{
	push_delay(L, check(L));
	return 1;
}

/* Counts a failure and returns how long to wait before the next attempt. */
static int backoff_fail(lua_State *L)
{
	struct backoff_handle *b = check(L);
	if (b->failures < UINT_MAX)
		b->failures++;
	push_delay(L, b);
	return 1;
}

static int backoff_succeed(lua_State *L)
{
	check(L)->failures = 0;
	return 0;
}

static int next_delay(lua_State *L)
{
	struct backoff_handle *b = check(L);
	if (backoff_spent(&b->config, b->failures))
		return 0;
	return backoff_fail(L);
}

/* for delay in backoff:delays() do wait(delay) if try() then break end end */
static int backoff_delays(lua_State *L)
{
	check(L);
	lua_pushcfunction(L, next_delay);
	lua_pushvalue(L, 1);
	return 2;
}

static int backoff_index(lua_State *L)
{
	const struct backoff_handle *b = check(L);
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(UP_METHODS)) != LUA_TNIL)
		return 1;
	switch ((enum field)field_number(L, UP_FIELDS)) {
	case FIELD_FAILURES:
		lua_pushinteger(L, b->failures);
		break;
	case FIELD_SPENT:
		lua_pushboolean(L, backoff_spent(&b->config, b->failures));
		break;
	case FIELD_NONE:
		return field_unknown(L, "a backoff", names, COUNT(names));
	}
	return 1;
}

void open_backoff(lua_State *L)
{
	static const luaL_Reg metamethods[] = {{NULL, NULL}};
	static const luaL_Reg methods[] = {{"delay", backoff_delay_method},
	                                   {"fail", backoff_fail},
	                                   {"succeed", backoff_succeed},
	                                   {"delays", backoff_delays},
	                                   {NULL, NULL}};
	static const luaL_Reg functions[] = {
	        {"backoff", new_backoff}, {"cluster_backoff", cluster_backoff}, {NULL, NULL}};
	handle_class(L, BACKOFF_HANDLE, metamethods, NULL);
	luaL_newlib(L, methods);
	field_numbers(L, names, COUNT(names));
	lua_pushcclosure(L, backoff_index, 2);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
