/* bind_endpoint.c - what a script sees of an endpoint: live numbers, read when they are asked for.
 */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "script/handles.h"

#include <stdlib.h>

enum { UP_FIELDS = 1, UP_STATE };

enum field {
	FIELD_NONE,
	FIELD_NAME,
	FIELD_HOST,
	FIELD_PORT,
	FIELD_ROLE,
	FIELD_REGION,
	FIELD_WEIGHT,
	FIELD_UP,
	FIELD_STATE,
	FIELD_FAILURES,
	FIELD_ERROR,
	FIELD_LAG,
	FIELD_LAG_BYTES,
	FIELD_LATENCY,
	FIELD_IN_FLIGHT,
	FIELD_WAITING,
	FIELD_STALENESS,
	FIELD_TIMELINE,
	FIELD_READ_ONLY,
	FIELD_DRAINING,
	FIELD_BREAKER,
	FIELD_DRAIN,
	FIELD_UNDRAIN,
	FIELD_STATS,
};

static const char *const names[] = {
        [FIELD_NAME] = "name",         [FIELD_HOST] = "host",
        [FIELD_PORT] = "port",         [FIELD_ROLE] = "role",
        [FIELD_FAILURES] = "failures", [FIELD_REGION] = "region",
        [FIELD_WEIGHT] = "weight",     [FIELD_UP] = "up",
        [FIELD_STATE] = "state",       [FIELD_ERROR] = "error",
        [FIELD_LAG] = "lag",           [FIELD_LAG_BYTES] = "lag_bytes",
        [FIELD_LATENCY] = "latency",   [FIELD_IN_FLIGHT] = "in_flight",
        [FIELD_WAITING] = "waiting",   [FIELD_STALENESS] = "staleness",
        [FIELD_TIMELINE] = "timeline", [FIELD_READ_ONLY] = "read_only",
        [FIELD_DRAINING] = "draining", [FIELD_BREAKER] = "breaker",
        [FIELD_DRAIN] = "drain",       [FIELD_UNDRAIN] = "undrain",
        [FIELD_STATS] = "stats",
};

static struct endpoint *check_endpoint(lua_State *L, int upvalue)
{
	const struct state *state = lua_touserdata(L, lua_upvalueindex(upvalue));
	const struct endpoint_handle *h = state_handle(L, state, 1, HANDLE_ENDPOINT);
	if (!h)
		luaL_typeerror(L, 1, ENDPOINT_HANDLE);
	if (!h->owner->cluster)
		luaL_error(L, "the endpoint's cluster is closed");
	struct endpoint *e = endpoint_of(h);
	if (!e)
		luaL_error(L, "the endpoint has left its cluster");
	return e;
}

static int push_error(lua_State *L, const struct endpoint *e)
{
	lua_pushstring(L, *e->last_error ? e->last_error : NULL);
	return 1;
}

/* endpoint:drain(), moongate.drain(endpoint): no new work from now on; or as before. */
static int drain(lua_State *L)
{
	endpoint_drain(check_endpoint(L, 1), true);
	return 0;
}

static int undrain(lua_State *L)
{
	endpoint_drain(check_endpoint(L, 1), false);
	return 0;
}

static int push_method(lua_State *L, lua_CFunction method)
{
	lua_pushvalue(L, lua_upvalueindex(UP_STATE));
	lua_pushcclosure(L, method, 1);
	return 1;
}

static int push_port(lua_State *L, const char *port)
{
	if (!lua_stringtonumber(L, port))
		lua_pushstring(L, port);
	return 1;
}

/* What the script has said of it; 0: `field` is none of that. */
static int push_identity(lua_State *L, const struct endpoint *e, enum field field)
{
	switch (field) {
	case FIELD_NAME:
		lua_pushstring(L, e->name);
		return 1;
	case FIELD_HOST:
		lua_pushstring(L, e->host);
		return 1;
	case FIELD_PORT:
		return push_port(L, e->port);
	case FIELD_REGION:
		lua_pushstring(L, e->region);
		return 1;
	case FIELD_WEIGHT:
		lua_pushnumber(L, e->weight);
		return 1;
	default:
		return 0;
	}
}

/* `up` of an endpoint that has left is false: policies that keep endpoints ask that first. */
static bool has_left(lua_State *L)
{
	const struct state *state = lua_touserdata(L, lua_upvalueindex(UP_STATE));
	const struct endpoint_handle *h = state_handle(L, state, 1, HANDLE_ENDPOINT);
	if (!h || !h->owner->cluster)
		return false;
	const struct endpoint *e = endpoint_of(h);
	return !e || e->absent;
}

static int push_field(lua_State *L, const struct endpoint *e, enum field field)
{
	if (push_identity(L, e, field))
		return 1;
	switch (field) {
	case FIELD_ROLE:
		lua_pushstring(L, role_name(e->role));
		break;
	case FIELD_UP:
		lua_pushboolean(L, health_usable(&e->health));
		break;
	case FIELD_STATE:
		lua_pushstring(L, health_state_name(e->health.state));
		break;
	case FIELD_FAILURES:
		lua_pushinteger(L, e->health.failures);
		break;
	case FIELD_ERROR:
		return push_error(L, e);
	case FIELD_LAG:
		lua_pushnumber(L, e->lag);
		break;
	case FIELD_LAG_BYTES:
		lua_pushinteger(L, (lua_Integer)e->lag_bytes);
		break;
	case FIELD_LATENCY:
		lua_pushnumber(L, e->latency);
		break;
	case FIELD_IN_FLIGHT:
		lua_pushinteger(L, e->in_flight);
		break;
	case FIELD_WAITING:
		lua_pushinteger(L, e->waiting);
		break;
	case FIELD_STALENESS:
		lua_pushnumber(L, endpoint_staleness(e, clock_now()));
		break;
	case FIELD_TIMELINE:
		lua_pushinteger(L, e->timeline);
		break;
	case FIELD_READ_ONLY:
		lua_pushboolean(L, e->read_only);
		break;
	case FIELD_DRAINING:
		lua_pushboolean(L, e->drained);
		break;
	case FIELD_BREAKER:
		lua_pushstring(L, breaker_state_name(e->breaker.state));
		break;
	case FIELD_DRAIN:
		return push_method(L, drain);
	case FIELD_UNDRAIN:
		return push_method(L, undrain);
	case FIELD_STATS:
		return push_endpoint_stats(L, 1);
	default:
		return field_unknown(L, "an endpoint", names, COUNT(names));
	}
	return 1;
}

static int endpoint_index(lua_State *L)
{
	enum field field = (enum field)field_number(L, UP_FIELDS);
	if (field != FIELD_UP || !has_left(L))
		return push_field(L, check_endpoint(L, UP_STATE), field);
	lua_pushboolean(L, false);
	return 1;
}

static int endpoint_tostring(lua_State *L)
{
	const struct endpoint_handle *h = luaL_checkudata(L, 1, ENDPOINT_HANDLE);
	const struct endpoint *e = h->owner->cluster ? endpoint_of(h) : NULL;
	if (e)
		lua_pushfstring(L, "%s: %s", ENDPOINT_HANDLE, e->name);
	else
		lua_pushfstring(L, "%s (%s)", ENDPOINT_HANDLE,
		                h->owner->cluster ? "left" : "closed");
	return 1;
}

void push_endpoint(lua_State *L, int cluster, unsigned index)
{
	struct cluster_handle *owner = lua_touserdata(L, cluster);
	lua_getiuservalue(L, cluster, CLUSTER_ENDPOINTS_TABLE);
	lua_rawgeti(L, -1, (lua_Integer)index + 1);
	const struct endpoint_handle *known = lua_touserdata(L, -1);
	if (!known || !endpoint_of(known)) {
		lua_pop(L, 1);
		struct endpoint_handle *h = lua_newuserdatauv(L, sizeof *h, 2);
		h->owner = owner;
		h->index = index;
		h->serial = owner->cluster->endpoints[index]->serial;
		lua_pushvalue(L, cluster);
		lua_setiuservalue(L, -2, 1);
		luaL_setmetatable(L, ENDPOINT_HANDLE);
		lua_pushvalue(L, -1);
		lua_rawseti(L, -3, (lua_Integer)index + 1);
	}
	lua_remove(L, -2);
}

void push_own_endpoint(lua_State *L, int cluster, const struct endpoint *e)
{
	const struct cluster_handle *owner = lua_touserdata(L, cluster);
	if (e && e->cluster == owner->cluster)
		push_endpoint(L, cluster, e->index);
	else
		lua_pushnil(L);
}

void open_endpoint(lua_State *L)
{
	static const luaL_Reg metamethods[] = {{"__tostring", endpoint_tostring}, {NULL, NULL}};
	struct state *state = state_of(L);
	handle_class(L, ENDPOINT_HANDLE, metamethods, NULL);
	field_numbers(L, names, COUNT(names));
	lua_pushlightuserdata(L, state);
	lua_pushcclosure(L, endpoint_index, 2);
	lua_setfield(L, -2, "__index");
	state->types[HANDLE_ENDPOINT] = lua_topointer(L, -1);
	lua_pop(L, 1);
	lua_pushlightuserdata(L, state);
	lua_pushcclosure(L, drain, 1);
	lua_setfield(L, -2, "drain");
	lua_pushlightuserdata(L, state);
	lua_pushcclosure(L, undrain, 1);
	lua_setfield(L, -2, "undrain");
}
