/* bind_policy.c - from a factory to a cluster's policy, or to the shadow beside it. */
/* SPDX-License-Identifier: MIT */
#include "script/examples.h"
#include "script/handles.h"
#include "script/hooks.h"
#include "script/misuse.h"
#include "script/shadow_lua.h"

#include <stdio.h>

/* Where the function on top begins, for what is logged of it. */
static void note_where(lua_State *L, struct policy *p)
{
	lua_Debug ar;
	lua_pushvalue(L, -1);
	lua_getinfo(L, ">S", &ar);
	if (ar.linedefined > 0)
		snprintf(p->where, sizeof p->where, "%s:%d", ar.short_src, ar.linedefined);
	else
		snprintf(p->where, sizeof p->where, "%s", ar.short_src);
}

/* What a factory has made is on top: a function, or a table with one and hooks. Leaves the
 * function.
 */
static void take_route(lua_State *L, struct policy *policy, const char *what)
{
	if (lua_istable(L, -1)) {
		lua_getfield(L, -1, "route");
		lua_remove(L, -2);
	}
	if (!lua_isfunction(L, -1))
		misuse(L,
		       "%s must return a function(query), or a table with such a function as "
		       "`route`, not a %s",
		       what, luaL_typename(L, -1));
	note_where(L, policy);
}

/* Calls the factory with the cluster, and leaves what it returns on top. */
static void call_factory(lua_State *L, int factory, int cluster, struct policy *policy)
{
	lua_pushvalue(L, factory);
	lua_pushvalue(L, cluster);
	rules_of(L, cluster, policy);
	lua_call(L, 1, 1);
	rules_of(L, 0, NULL);
}

void policy_make(lua_State *L, int factory, int cluster)
{
	struct cluster_handle *h = lua_touserdata(L, cluster);
	call_factory(L, factory, cluster, &h->policy);
	if (lua_istable(L, -1))
		hooks_take(L, cluster, &h->policy);
	examples_keep(L, cluster);
	take_route(L, &h->policy, "moongate.cluster: policy");
	lua_setiuservalue(L, cluster, CLUSTER_POLICY);
	struct query_handle *handle = query_handle_new(L, cluster);
	lua_setiuservalue(L, cluster, CLUSTER_QUERY);
	h->policy.handle = handle;
}

/* Its hooks are not called: it is only watched. */
static void make_shadow(lua_State *L, int factory, int cluster)
{
	struct cluster_handle *h = lua_touserdata(L, cluster);
	struct shadow *shadow = lua_newuserdatauv(L, sizeof *shadow, 0);
	*shadow = (struct shadow){.policy = {.state = h->state, .owner = h}};
	lua_setiuservalue(L, cluster, CLUSTER_SHADOW);
	call_factory(L, factory, cluster, &shadow->policy);
	take_route(L, &shadow->policy, "moongate.router: shadow");
	lua_setiuservalue(L, cluster, CLUSTER_SHADOW_POLICY);
	struct query_handle *handle = query_handle_new(L, cluster);
	lua_setiuservalue(L, cluster, CLUSTER_SHADOW_QUERY);
	shadow->policy.handle = handle;
	h->shadow = shadow;
}

/* core.set_policy(cluster, factory, shadow): nothing, or nil and what is wrong. A nil factory
 * changes nothing. */
static int set_policy(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	lua_settop(L, 3);
	if (!h->state->embedded && !h->state->loading)
		misuse(L, "moongate.router: a router is made when the script is loaded, and never "
		          "again");
	if (!lua_isnil(L, 2) && h->policy.handle) {
		lua_pushnil(L);
		lua_pushliteral(L, "its cluster has a policy already: give it to one of them");
		return 2;
	}
	if (!lua_isnil(L, 2))
		policy_make(L, 2, 1);
	if (!lua_isnil(L, 3))
		make_shadow(L, 3, 1);
	lua_pushboolean(L, true);
	return 1;
}

void open_policy(lua_State *L)
{
	static const luaL_Reg functions[] = {{"set_policy", set_policy}, {NULL, NULL}};
	luaL_setfuncs(L, functions, 0);
}
