/* module.c - see module.h. */
/* SPDX-License-Identifier: MIT */
#include "script/module.h"

#include "base/version.h"
#include "script/embed.h"
#include "script/examples.h"
#include "script/flow_handle.h"
#include "script/handles.h"
#include "script/json_integers.h"
#include "script/misuse.h"
#include "script/parameters.h"
#include "script/types.h"

/* Upvalues: what it is called in messages, and the function. */
static int call_checked(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(2));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 2);
	if (lua_isnil(L, -2))
		return misuse(L, "%s: %s", lua_tostring(L, lua_upvalueindex(1)),
		              luaL_tolstring(L, -1, NULL));
	lua_pop(L, 1);
	return 1;
}

/* core.checked(name, f): calls f, and raises what it says is wrong in its caller's line. In C,
 * since a Lua function called by `return moongate.router {...}` has no caller left to blame. */
static int checked(lua_State *L)
{
	luaL_checkstring(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	lua_pushcclosure(L, call_checked, 2);
	return 1;
}

int luaopen_moongate_core(lua_State *L)
{
	luaL_checkversion(L);
	if (!state_of(L))
		state_new(L, NULL);
	lua_newtable(L);
	open_misuse(L);
	open_endpoint(L);
	open_route(L);
	open_cluster(L);
	open_router(L);
	open_backoff(L);
	open_stats(L);
	open_classify(L);
	open_rule(L);
	open_names(L);
	open_simulate(L);
	open_timer(L);
	open_task(L);
	open_foreign(L);
	open_embed(L);
	open_policy(L);
	open_examples(L);
	open_blocking(L);
	open_answer(L);
	open_stream(L);
	open_copy(L);
	open_statement(L);
	open_token(L);
	open_connection(L);
	open_pipeline(L);
	open_pool(L);
	open_probe(L);
	open_listen(L);
	open_parameters(L);
	open_types(L);
	open_json_integers(L);
	lua_pushcfunction(L, checked);
	lua_setfield(L, -2, "checked");
	lua_pushliteral(L, MOONGATE_VERSION);
	lua_setfield(L, -2, "version");
	lua_pushlightuserdata(L, NULL); /* as lua-cjson's null, so that rows encode as they are */
	lua_setfield(L, -2, "NULL");
	return 1;
}
