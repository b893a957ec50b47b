/* bind_route.c - cluster:route{...} and moongate.reject(): what a policy may return. */
/* SPDX-License-Identifier: MIT */
#include "cluster/patroni.h"
#include "script/fields.h"
#include "script/handles.h"
#include "script/misuse.h"

#include <stdio.h>
#include <string.h>

#define MIRROR_HOLD 1.0 /* s that a copy waits for a server */

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

/* Which endpoints those are, the route finds itself, again and again where Patroni's members come
 * and go; elsewhere each of them must be there. The names stay on the stack. */
static bool take_names(lua_State *L, int options, const struct cluster *c,
                       struct route_config *config)
{
	if (!take_table(L, options, "names"))
		return true;
	int list = lua_gettop(L);
	lua_pushliteral(L, "");
	for (lua_Integer i = 1; lua_rawgeti(L, list, i) != LUA_TNIL; i++) {
		const char *name = luaL_checkstring(L, -1);
		if (!c->patroni && !cluster_endpoint(c, name))
			return refuse_name(L, c, name);
		lua_pushlstring(L, "", 1);
		lua_concat(L, 3);
	}
	lua_pop(L, 1);
	config->names = lua_tostring(L, -1);
	return true;
}

/* The array and the names stay on the stack, with their tables. */
static bool take_weights(lua_State *L, int options, const struct cluster *c,
                         struct route_config *config)
{
	if (!take_table(L, options, "weights"))
		return true;
	int list = lua_gettop(L);
	size_t count = lua_rawlen(L, list);
	struct route_weight *weights = lua_newuserdatauv(L, count * sizeof *weights + 1, 0);
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(L, list, (lua_Integer)i + 1);
		int t = lua_gettop(L);
		weights[i].endpoint = take_string(L, t, "name", "");
		weights[i].weight = take_number(L, t, "weight", 1);
		lua_pop(L, 1);
		if (!c->patroni && !cluster_endpoint(c, weights[i].endpoint))
			return refuse_name(L, c, weights[i].endpoint);
	}
	config->weights = weights;
	config->weight_count = count;
	return true;
}

static bool known_region(lua_State *L, const struct cluster *c, const char *region)
{
	if (!region)
		return true;
	if (patroni_has_region(c->patroni, region))
		return true;
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (c->endpoints[i]->region && strcmp(c->endpoints[i]->region, region) == 0)
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
	return take_names(L, options, c, config) && take_weights(L, options, c, config) &&
	       known_region(L, c, config->region) && known_region(L, c, config->prefer);
}

/* The policy tells routes by their addresses: no other userdata may ever get one of these. */
static void keep_route(lua_State *L, int cluster, int handle, struct route_handle *h)
{
	lua_getiuservalue(L, cluster, CLUSTER_ROUTES_TABLE);
	lua_pushvalue(L, handle);
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
	h->next = h->owner->routes;
	h->owner->routes = h;
}

static void refuse_while_asked(lua_State *L, const struct cluster_handle *owner, const char *what)
{
	if (owner->state->asking)
		misuse(L,
		       "%s: routes live as long as their cluster; make them when the policy is "
		       "built, not for each query",
		       what);
}

/* core.route(cluster, options): a route, or nil and what is wrong. */
static int new_route(lua_State *L)
{
	struct cluster_handle *owner = check_cluster(L, 1);
	struct route_config config;
	luaL_checktype(L, 2, LUA_TTABLE);
	refuse_while_asked(L, owner, "cluster:route");
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
	keep_route(L, 1, handle, h);
	lua_settop(L, handle);
	luaL_setmetatable(L, ROUTE_HANDLE);
	return 1;
}

static struct route_handle *check_route(lua_State *L, int index)
{
	struct route_handle *h = luaL_checkudata(L, index, ROUTE_HANDLE);
	if (!h->owner->cluster)
		misuse(L, "the route's cluster is closed");
	return h;
}

/* The route of a cluster's that leads to the endpoint at `index`, given by handle or name; or the
 * route there itself. */
static struct route *copy_route(lua_State *L, int index, struct cluster_handle *owner)
{
	if (luaL_testudata(L, index, ROUTE_HANDLE)) {
		const struct route_handle *h = check_route(L, index);
		if (h->owner != owner)
			misuse(L, "moongate.mirror: the routes are of two clusters");
		return h->route;
	}
	const struct endpoint_handle *e = state_handle(L, owner->state, index, HANDLE_ENDPOINT);
	const char *name = e && e->owner == owner && endpoint_of(e) ? endpoint_of(e)->name
	                                                            : luaL_checkstring(L, index);
	if (!cluster_endpoint(owner->cluster, name)) {
		refuse_name(L, owner->cluster, name);
		misuse(L, "moongate.mirror: %s", lua_tostring(L, -1));
	}
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	luaL_addlstring(&b, name, strlen(name) + 1);
	luaL_addchar(&b, '\0');
	luaL_pushresult(&b);
	const struct route_config config = {.name = "mirror",
	                                    .to = TO_NAMED,
	                                    .names = lua_tostring(L, -1),
	                                    .consistency = CONSISTENCY_EVENTUAL,
	                                    .hold = MIRROR_HOLD};
	struct route *route = route_new(owner->cluster, &config);
	lua_pop(L, 1);
	return route;
}

/* Pushes another route of the first argument's cluster, or raises. */
static int push_variant(lua_State *L, const struct route_handle *of, struct route *route)
{
	if (!route)
		return luaL_error(L, "moongate: out of memory");
	struct route_handle *h = lua_newuserdatauv(L, sizeof *h, 1);
	*h = (struct route_handle){.owner = of->owner, .route = route};
	int handle = lua_gettop(L);
	lua_getiuservalue(L, 1, 1);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, handle, 1);
	keep_route(L, lua_gettop(L), handle, h);
	lua_settop(L, handle);
	luaL_setmetatable(L, ROUTE_HANDLE);
	return 1;
}

/* moongate.mirror(route, copy_to): the route, whose reads are copied there. */
static int mirror(lua_State *L)
{
	const struct route_handle *h = check_route(L, 1);
	refuse_while_asked(L, h->owner, "moongate.mirror");
	struct route *to = copy_route(L, 2, h->owner);
	return push_variant(L, h, to ? route_with(h->route, 0, to) : NULL);
}

/* moongate.timeout(route, seconds): the route, whose queries may run no longer. */
static int timeout(lua_State *L)
{
	const struct route_handle *h = check_route(L, 1);
	double seconds = luaL_checknumber(L, 2);
	luaL_argcheck(L, seconds >= 0.001 && seconds <= 1e9, 2,
	              "a number of seconds of at least 0.001 expected");
	refuse_while_asked(L, h->owner, "moongate.timeout");
	return push_variant(L, h, route_with(h->route, seconds, NULL));
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
	static const luaL_Reg functions[] = {{"route", new_route},
	                                     {"reject", reject},
	                                     {"mirror", mirror},
	                                     {"timeout", timeout},
	                                     {NULL, NULL}};
	struct state *state = state_of(L);
	handle_class(L, ROUTE_HANDLE, route, NULL);
	handle_class(L, REJECTION_HANDLE, rejection, NULL);
	state->types[HANDLE_REJECTION] = lua_topointer(L, -1);
	lua_pop(L, 2);
	luaL_setfuncs(L, functions, 0);
}
