/* bind_stats.c - `query.stats`, `query.stats:on(endpoint)`, `endpoint.stats`: what statements have
 * cost so far, read when it is asked for.
 *
 * Views of statistics.h: one userdata for each query handle and endpoint, made once. Those of a
 * query hold in its call only, as it does itself; on() gives the same view every time. */
/* SPDX-License-Identifier: MIT */
#include "cluster/statistics.h"
#include "script/handles.h"

enum { UP_FIELDS = 1 };

/* User values of a view. */
enum { USER_ANCHOR = 1, USER_ON, USER_VALUES = 2 };

struct view {
	const struct cluster_handle *owner;
	const struct query_handle *query; /* USER_ANCHOR; NULL: of all statements. Else also: */
	const struct endpoint_handle *endpoint; /* USER_ANCHOR, or on()'s; NULL: wherever they ran
	                                         */
};

enum field {
	FIELD_NONE,
	FIELD_CALLS,
	FIELD_ERRORS,
	FIELD_ROWS,
	FIELD_MEAN,
	FIELD_P50,
	FIELD_P95,
	FIELD_P99,
	FIELD_MAX,
	FIELD_ON,
};

static const char *const names[] = {
        [FIELD_CALLS] = "calls", [FIELD_ERRORS] = "errors", [FIELD_ROWS] = "rows",
        [FIELD_MEAN] = "mean",   [FIELD_P50] = "p50",       [FIELD_P95] = "p95",
        [FIELD_P99] = "p99",     [FIELD_MAX] = "max",       [FIELD_ON] = "on",
};

static unsigned index_of(lua_State *L, const struct endpoint_handle *h)
{
	if (!h->owner->cluster)
		luaL_error(L, "the endpoint's cluster is closed");
	const struct endpoint *e = endpoint_of(h);
	if (!e)
		luaL_error(L, "the endpoint has left its cluster");
	return e->index;
}

static const struct query *query_of(lua_State *L, const struct view *v)
{
	const struct query *q = query_handle_query(v->query);
	if (!q)
		luaL_error(L, "query.stats can be read only while the policy is being asked");
	return q;
}

static const struct tally *tally_of(lua_State *L, const struct view *v)
{
	static const struct tally nothing;
	const struct query *q = v->query ? query_of(L, v) : NULL;
	unsigned index = v->endpoint ? index_of(L, v->endpoint) : CLUSTER_ENDPOINTS;
	const struct statistics *s = v->owner->cluster->statistics;
	if (!q)
		return statistics_on(s, index);
	const struct statement_tally *t = statistics_of(s, q->facts->fingerprint);
	const struct tally *tally = !t ? NULL : v->endpoint ? t->on[index] : &t->all;
	return tally ? tally : &nothing;
}

static struct view *new_view(lua_State *L, int anchor)
{
	struct view *v = lua_newuserdatauv(L, sizeof *v, USER_VALUES);
	*v = (struct view){0};
	luaL_setmetatable(L, STATS_HANDLE);
	lua_pushvalue(L, anchor);
	lua_setiuservalue(L, -2, USER_ANCHOR);
	return v;
}

/* query.stats:on(endpoint) */
static int on(lua_State *L)
{
	struct view *v = luaL_checkudata(L, 1, STATS_HANDLE);
	const struct endpoint_handle *e = luaL_checkudata(L, 2, ENDPOINT_HANDLE);
	luaL_argcheck(L, v->query && !v->endpoint, 1, "query.stats expected");
	luaL_argcheck(L, e->owner == v->owner, 2, "an endpoint of the query's cluster expected");
	query_of(L, v);
	lua_getiuservalue(L, 1, USER_ON);
	struct view *there = lua_touserdata(L, -1);
	there->endpoint = e;
	lua_pushvalue(L, 2);
	lua_setiuservalue(L, -2, USER_ON); /* stays as long as it is pointed to */
	return 1;
}

static int stats_index(lua_State *L)
{
	const struct view *v = luaL_checkudata(L, 1, STATS_HANDLE);
	const struct tally *t = tally_of(L, v);
	switch ((enum field)field_number(L, UP_FIELDS)) {
	case FIELD_CALLS:
		lua_pushinteger(L, (lua_Integer)t->calls);
		break;
	case FIELD_ERRORS:
		lua_pushinteger(L, (lua_Integer)t->errors);
		break;
	case FIELD_ROWS:
		lua_pushinteger(L, (lua_Integer)t->rows);
		break;
	case FIELD_MEAN:
		lua_pushnumber(L, tally_mean(t));
		break;
	case FIELD_P50:
		lua_pushnumber(L, histogram_quantile(&t->times, 0.5));
		break;
	case FIELD_P95:
		lua_pushnumber(L, histogram_quantile(&t->times, 0.95));
		break;
	case FIELD_P99:
		lua_pushnumber(L, histogram_quantile(&t->times, 0.99));
		break;
	case FIELD_MAX:
		lua_pushnumber(L, t->max);
		break;
	case FIELD_ON:
		lua_pushcfunction(L, on);
		break;
	case FIELD_NONE:
		return field_unknown(L, "stats", names, COUNT(names));
	}
	return 1;
}

static int read_only(lua_State *L)
{
	return luaL_error(L, "stats are read-only");
}

void push_query_stats(lua_State *L, int handle, const struct cluster_handle *owner)
{
	const struct query_handle *query = lua_touserdata(L, handle);
	struct view *v = new_view(L, handle), *there = new_view(L, handle);
	v->owner = there->owner = owner;
	v->query = there->query = query;
	lua_setiuservalue(L, -2, USER_ON);
}

int push_endpoint_stats(lua_State *L, int handle)
{
	const struct endpoint_handle *h = lua_touserdata(L, handle);
	if (lua_getiuservalue(L, handle, 2) != LUA_TNIL)
		return 1;
	lua_pop(L, 1);
	struct view *v = new_view(L, handle);
	v->owner = h->owner;
	v->endpoint = h;
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, handle, 2);
	return 1;
}

void open_stats(lua_State *L)
{
	static const luaL_Reg metamethods[] = {{"__newindex", read_only}, {NULL, NULL}};
	handle_class(L, STATS_HANDLE, metamethods, NULL);
	field_numbers(L, names, COUNT(names));
	lua_pushcclosure(L, stats_index, 1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}
