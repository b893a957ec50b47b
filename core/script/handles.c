/* handles.c - see handles.h. */
/* SPDX-License-Identifier: MIT */
#include "script/handles.h"

#include "script/misuse.h"

#include <lauxlib.h>

static const char clusters_key; /* its address is the key; the byte is never read */

void handle_class(lua_State *L, const char *name, const luaL_Reg *metamethods,
                  const luaL_Reg *methods)
{
	luaL_newmetatable(L, name);
	lua_pushboolean(L, false);
	lua_setfield(L, -2, "__metatable");
	luaL_setfuncs(L, metamethods, 0);
	if (!methods)
		return;
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	lua_setfield(L, -2, "__index");
}

void field_numbers(lua_State *L, const char *const *names, size_t count)
{
	lua_createtable(L, 0, (int)count);
	for (size_t i = 1; i < count; i++) {
		lua_pushinteger(L, (lua_Integer)i);
		lua_setfield(L, -2, names[i]);
	}
}

lua_Integer field_number(lua_State *L, int upvalue)
{
	lua_pushvalue(L, 2);
	lua_rawget(L, lua_upvalueindex(upvalue));
	lua_Integer number = lua_tointeger(L, -1);
	lua_pop(L, 1);
	return number;
}

int field_unknown(lua_State *L, const char *what, const char *const *names, size_t count)
{
	const char *key = luaL_tolstring(L, 2, NULL);
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	for (size_t i = 1; i < count; i++) {
		luaL_addstring(&b, i > 1 ? ", " : "");
		luaL_addstring(&b, names[i]);
	}
	luaL_pushresult(&b);
	return luaL_error(L, "%s has no field \"%s\"; it has %s", what, key, lua_tostring(L, -1));
}

const struct catalog *cluster_handle_catalog(const struct cluster_handle *h)
{
	return h->catalog ? h->catalog->catalog : NULL;
}

struct verdict cluster_handle_decide(lua_State *L, int cluster, const struct query *q)
{
	struct cluster_handle *h = lua_touserdata(L, cluster);
	struct policy *p = &h->policy;
	if (policy_busy(p))
		misuse(L, "a policy cannot be asked while it is being asked");
	if (!p->handle || p->stats.tripped)
		return policy_default(p, q);
	lua_getiuservalue(L, cluster, CLUSTER_POLICY);
	lua_getiuservalue(L, cluster, CLUSTER_QUERY);
	return policy_ask(L, p, q);
}

void cluster_handle_push(lua_State *L, const struct cluster_handle *h)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &clusters_key);
	lua_rawgetp(L, -1, h);
	lua_remove(L, -2);
}

void cluster_handle_register(lua_State *L)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &clusters_key) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_createtable(L, 0, 1);
		lua_pushliteral(L, "v");
		lua_setfield(L, -2, "__mode");
		lua_setmetatable(L, -2);
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &clusters_key);
	}
	lua_pushvalue(L, -2);
	lua_rawsetp(L, -2, lua_touserdata(L, -3));
	lua_pop(L, 1);
}

void check_own(lua_State *L, const struct cluster_handle *h)
{
	if (!context_is_own(h->cluster->context))
		misuse(L, "the cluster was made before fork(), and its connections are the "
		          "parent's: make one of its own in the child");
}

struct cluster_handle *check_cluster(lua_State *L, int index)
{
	struct cluster_handle *h = luaL_testudata(L, index, CLUSTER_HANDLE);
	if (!h)
		misuse(L,
		       "a " CLUSTER_HANDLE " expected, got %s; its methods are called as "
		       "cluster:method()",
		       luaL_typename(L, index));
	if (!h->cluster)
		misuse(L, "the cluster is closed");
	check_own(L, h);
	return h;
}
