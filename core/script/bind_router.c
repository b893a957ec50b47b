/* bind_router.c - moongate.router{...}: what a routing script returns. script.c reads it. */
/* SPDX-License-Identifier: MIT */
#include "script/handles.h"

/* core.router(listen, clusters, admin, log_queries) */
static int new_router(lua_State *L)
{
	luaL_checkstring(L, 1);
	luaL_checktype(L, 2, LUA_TTABLE);
	luaL_optstring(L, 3, NULL);
	lua_settop(L, 4);
	lua_newuserdatauv(L, 0, ROUTER_USER_VALUES);
	lua_newtable(L);
	for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
		luaL_checktype(L, -2, LUA_TSTRING);
		check_cluster(L, -1);
		lua_pushvalue(L, -2);
		lua_pushvalue(L, -2);
		lua_rawset(L, 6);
	}
	lua_setiuservalue(L, 5, ROUTER_CLUSTERS);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, 5, ROUTER_LISTEN);
	lua_pushvalue(L, 3);
	lua_setiuservalue(L, 5, ROUTER_ADMIN);
	lua_pushvalue(L, 4);
	lua_setiuservalue(L, 5, ROUTER_LOG_QUERIES);
	luaL_setmetatable(L, ROUTER_HANDLE);
	return 1;
}

void open_router(lua_State *L)
{
	static const luaL_Reg metamethods[] = {{NULL, NULL}};
	static const luaL_Reg functions[] = {{"router", new_router}, {NULL, NULL}};
	handle_class(L, ROUTER_HANDLE, metamethods, NULL);
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
