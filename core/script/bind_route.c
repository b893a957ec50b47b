/* bind_route.c - cluster:route{...} and moongate.reject(): what a policy may return. */
/* SPDX-License-Identifier: MIT */
#include "script/fields.h"
#include "script/handles.h"
#include "script/misuse.h"

#include <stdio.h>
#include <string.h>

/* The order is that of the enums. */
static const char *const targets[] = {"primary", "replicas", "any", "named", "region", NULL};
static const char *const balances[] = {"weighted", "round_robin", "least_in_flight", "latency",
                                       NULL};

/* Pushes what went wrong and what there is, and returns false. */
static bool refuse_name(lua_State *L, const struct cluster *c, const char *name)
{
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	for (size_t i = 0; i < c->endpoint_count; i++) {
		luaL_addstring(&b, i ? ", " : "");
		luaL_addstring(&b, c->endpoints[i]->name);
	}
	luaL_pushresult(&b);
	lua_pushfstring(L, "no endpoint is called \"%s\"; there are: %s", name,
	                lua_tostring(L, -1));
	return false;
}

static bool take_names(lua_State *L, int options, const struct cluster *c, uint64_t *named)
{
	if (!take_table(L, options, "names"))
		return true;
	int list = lua_gettop(L);
	for (lua_Integer i = 1; lua_rawgeti(L, list, i) != LUA_TNIL; i++) {
		const char *name = luaL_checkstring(L, -1);
		const struct endpoint *e = cluster_endpoint(c, name);
		if (!e)
			return refuse_name(L, c, name);
		*named |= UINT64_C(1) << e->index;
		lua_settop(L, list);
	}
	return true;
}

static bool known_region(lua_State *L, const struct cluster *c, const char *region)
{
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (!region ||
		    (c->endpoints[i]->region && strcmp(c->endpoints[i]->region, region) == 0))
			return true;
	lua_pushfstring(L, "no endpoint has the region \"%s\"", region);
	return false;
}

static bool take_config(lua_State *L, int options, const struct cluster *c,
                        struct route_config *config)
{
	*config = (struct route_config){
	        .name = take_string(L, options, "name", NULL),
	        .to = (enum route_target)take_choice(L, options, "to", targets, TO_PRIMARY),
	        .region = take_string(L, options, "region", NULL),
	        .balance = (enum balance)take_choice(L, options, "balance", balances,
	                                             BALANCE_WEIGHTED),
	        .consistency = (enum consistency)take_choice(
	                L, options, "consistency", consistency_names, CONSISTENCY_READ_YOUR_WRITES),
	        .scope = (enum scope)take_choice(L, options, "scope", scope_names, SCOPE_SESSION),
	        .wait_fresh = take_number(L, options, "wait_fresh", 0) / 1000,
	        .max_staleness = take_number(L, options, "max_staleness", 0),
	        .max_lag = take_number(L, options, "max_lag", 0),
	        .prefer = take_string(L, options, "prefer", NULL),
	        .fallback_primary = take_string(L, options, "fallback", NULL) != NULL,
	        .hold = take_number(L, options, "hold", 0),
	};
	return take_names(L, options, c, &config->named) && known_region(L, c, config->region) &&
	       known_region(L, c, config->prefer);
}

/* The policy tells routes by their addresses: no other userdata may ever get one of these. */
static void keep_route(lua_State *L, int handle, struct route_handle *h)
{
	lua_getiuservalue(L, 1, CLUSTER_ROUTES_TABLE);
	lua_pushvalue(L, handle);
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
	h->next = h->owner->routes;
	h->owner->routes = h;
}

/* core.route(cluster, options): a route, or nil and what is wrong. */
static int new_route(lua_State *L)
{
	struct cluster_handle *owner = check_cluster(L, 1);
	struct route_config config;
	luaL_checktype(L, 2, LUA_TTABLE);
	if (policy_busy(&owner->policy))
		return misuse(L, "cluster:route: routes live as long as their cluster; make them "
		                 "when the policy is built, not for each query");
	struct route_handle *h = lua_newuserdatauv(L, sizeof *h, 1);
	*h = (struct route_handle){.owner = owner};
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	int handle = lua_gettop(L);
	if (!take_config(L, 2, owner->cluster, &config)) {
		lua_pushnil(L);
		lua_insert(L, -2);
		return 2;
	}
	h->route = route_new(owner->cluster, &config);
	if (!h->route)
		return luaL_error(L, "moongate: out of memory");
	keep_route(L, handle, h);
	lua_settop(L, handle);
	luaL_setmetatable(L, ROUTE_HANDLE);
	return 1;
}

static int route_tostring(lua_State *L)
{
	const struct route_handle *h = luaL_checkudata(L, 1, ROUTE_HANDLE);
	lua_pushfstring(L, "%s: %s", ROUTE_HANDLE,
	                h->owner->cluster ? route_name(h->route) : "(closed)");
	return 1;
}

/* Five of the characters that PostgreSQL's own codes are made of, and not success or a warning. */
static bool is_sqlstate(const char *text)
{
	return strlen(text) == 5 && strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 &&
	       strncmp(text, "00", 2) != 0 && strncmp(text, "01", 2) != 0;
}

/* How much of a message that is too long is kept: no half of a UTF-8 character. */
static size_t whole_characters(const char *message)
{
	size_t size = strlen(message);
	if (size < POLICY_MESSAGE)
		return size;
	size = POLICY_MESSAGE - 1;
	while (size > 0 && ((unsigned char)message[size] & 0xc0) == 0x80)
		size--;
	return size;
}

static int reject(lua_State *L)
{
	const char *message = luaL_checkstring(L, 1);
	const char *sqlstate = luaL_optstring(L, 2, "42501");
	luaL_argcheck(L, is_sqlstate(sqlstate), 2,
	              "a SQLSTATE of an error expected: five digits or capitals, such as 42501");
	struct rejection *r = lua_newuserdatauv(L, sizeof *r, 0);
	snprintf(r->message, sizeof r->message, "%.*s", (int)whole_characters(message), message);
	snprintf(r->sqlstate, sizeof r->sqlstate, "%s", sqlstate);
	luaL_setmetatable(L, REJECTION_HANDLE);
	return 1;
}

static int rejection_tostring(lua_State *L)
{
	const struct rejection *r = luaL_checkudata(L, 1, REJECTION_HANDLE);
	lua_pushfstring(L, "%s: %s %s", REJECTION_HANDLE, r->sqlstate, r->message);
	return 1;
}

void open_route(lua_State *L)
{
	static const luaL_Reg route[] = {{"__tostring", route_tostring}, {NULL, NULL}};
	static const luaL_Reg rejection[] = {{"__tostring", rejection_tostring}, {NULL, NULL}};
	static const luaL_Reg functions[] = {
	        {"route", new_route}, {"reject", reject}, {NULL, NULL}};
	struct state *state = state_of(L);
	handle_class(L, ROUTE_HANDLE, route, NULL);
	handle_class(L, REJECTION_HANDLE, rejection, NULL);
	state->types[HANDLE_REJECTION] = lua_topointer(L, -1);
	lua_pop(L, 2);
	luaL_setfuncs(L, functions, 0);
}
