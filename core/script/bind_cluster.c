/* bind_cluster.c - the handle of a cluster: building it from options, its endpoints, its policy.
 *
 * Whatever is made of a cluster hangs on its userdata, the policy's function too: a cluster that
 * nobody refers to any more is collected with all of it. */
/* SPDX-License-Identifier: MIT */
#include "cluster/membership.h"
#include "cluster/patroni.h"
#include "cluster/simulate.h"
#include "script/examples.h"
#include "script/fields.h"
#include "script/flow_handle.h"
#include "script/handles.h"
#include "script/loans.h"
#include "script/misuse.h"
#include "script/on_notice.h"
#include "script/subscription.h"

#include <math.h>

#define PREPARE_THRESHOLD 5 /* psycopg's */

static const char *const modes[] = {"transaction", "session", "statement", NULL};

static struct pool_config take_pool(lua_State *L, int options)
{
	struct pool_config c = POOL_DEFAULTS;
	if (take_table(L, options, "pool")) {
		int t = lua_gettop(L);
		c.mode = (enum pool_mode)take_choice(L, t, "mode", modes, c.mode);
		c.size = take_count(L, t, "size", c.size);
		c.reserve = take_count(L, t, "reserve", c.reserve);
		c.reserve_after = take_number(L, t, "reserve_after", c.reserve_after);
		c.min_idle = take_count(L, t, "min_idle", c.min_idle);
		c.max_per_database = take_count(L, t, "max_per_database", 0);
		c.max_per_user = take_count(L, t, "max_per_user", 0);
		c.max_per_endpoint = take_count(L, t, "max_per_endpoint", 0);
		c.acquire_timeout = take_number(L, t, "acquire_timeout", c.acquire_timeout);
		c.connect_timeout = take_number(L, t, "connect_timeout", c.connect_timeout);
		c.idle_timeout = take_number(L, t, "idle_timeout", c.idle_timeout);
		c.max_lifetime = take_number(L, t, "max_lifetime", c.max_lifetime);
		c.lifetime_jitter = take_number(L, t, "lifetime_jitter", c.lifetime_jitter);
		c.notice_after = take_number(L, t, "notice_after", c.notice_after);
		c.prepared_statements =
		        take_count(L, t, "prepared_statements", c.prepared_statements);
	}
	lua_pop(L, 1);
	return c;
}

/* The table on the stack's top, which may be of the cluster, of a user or of a database: what it
 * says, and what of that it does not leave open. */
static struct session_override take_session(lua_State *L)
{
	int t = lua_gettop(L);
	struct session_override o = {.name = take_string(L, t, "name", NULL)};
	struct session_config *v = &o.values;
	const struct {
		const char *name;
		enum session_option option;
		double *value;
	} times[] = {{"query_timeout", SESSION_QUERY_TIMEOUT, &v->query_timeout},
	             {"transaction_timeout", SESSION_TRANSACTION_TIMEOUT, &v->transaction_timeout},
	             {"idle_transaction_timeout", SESSION_IDLE_TRANSACTION_TIMEOUT,
	              &v->idle_transaction_timeout},
	             {"client_idle_timeout", SESSION_CLIENT_IDLE_TIMEOUT, &v->client_idle_timeout}};
	for (size_t i = 0; i < COUNT(times); i++) {
		double value = take_number(L, t, times[i].name, -1);
		if (value < 0)
			continue;
		*times[i].value = value;
		o.set |= times[i].option;
	}
	int mode = take_choice(L, t, "pool_mode", modes, -1);
	if (mode >= 0) {
		v->mode = (enum pool_mode)mode;
		o.set |= SESSION_POOL_MODE;
	}
	v->pool_size = take_count(L, t, "pool_size", 0);
	if (v->pool_size)
		o.set |= SESSION_POOL_SIZE;
	return o;
}

static struct session_config take_timeouts(lua_State *L, int options)
{
	struct session_config c = {0};
	if (take_table(L, options, "timeouts"))
		c = take_session(L).values;
	lua_pop(L, 1);
	return c;
}

/* The list stays on the stack, in a userdata of its own; the names stay in their tables. */
static struct session_overrides take_overrides(lua_State *L, int options, const char *key)
{
	struct session_overrides found = {0};
	if (!take_table(L, options, key))
		return found; /* nil stays in its place */
	int t = lua_gettop(L);
	size_t count = lua_rawlen(L, t);
	struct session_override *list = lua_newuserdatauv(L, count * sizeof *list + 1, 0);
	for (; found.count < count; found.count++) {
		if (lua_rawgeti(L, t, (lua_Integer)found.count + 1) != LUA_TTABLE)
			luaL_error(L, "moongate.core: %s must be a list of tables", key);
		list[found.count] = take_session(L);
		lua_pop(L, 1);
	}
	found.list = list;
	lua_remove(L, t);
	return found;
}

static struct hold_limit take_hold_limit(lua_State *L, int options)
{
	struct hold_limit c = HOLD_LIMIT_DEFAULTS;
	if (take_table(L, options, "hold_limit")) {
		int t = lua_gettop(L);
		c.queries = take_count(L, t, "queries", c.queries);
		c.bytes = (uint64_t)take_number(L, t, "bytes", (double)c.bytes);
	}
	lua_pop(L, 1);
	return c;
}

static struct health_config take_health(lua_State *L, int options)
{
	struct health_config c = HEALTH_DEFAULTS;
	if (take_table(L, options, "health")) {
		int t = lua_gettop(L);
		c.interval = take_number(L, t, "interval", c.interval);
		c.timeout = take_number(L, t, "timeout", c.timeout);
		c.fall = take_count(L, t, "fall", c.fall);
		c.rise = take_count(L, t, "rise", c.rise);
		c.slow_start = take_number(L, t, "slow_start", c.slow_start);
	}
	lua_pop(L, 1);
	if (take_table(L, options, "backoff"))
		c.backoff = take_backoff(L, lua_gettop(L));
	lua_pop(L, 1);
	return c;
}

static struct breaker_config take_breaker(lua_State *L, int options)
{
	struct breaker_config c = BREAKER_DEFAULTS;
	if (take_table(L, options, "breaker")) {
		int t = lua_gettop(L);
		c.failures = take_count(L, t, "failures", c.failures);
		c.window = take_number(L, t, "window", c.window);
		c.ratio = take_number(L, t, "ratio", c.ratio);
		c.pause = take_number(L, t, "pause", c.pause);
		c.trials = take_count(L, t, "trials", c.trials);
	}
	lua_pop(L, 1);
	return c;
}

/* The array stays on the stack, in a userdata of its own; the names stay in their table. */
static const char *const *take_names(lua_State *L, int table, const char *key, size_t *count)
{
	if (!take_table(L, table, key))
		return NULL; /* nil stays in its place */
	int t = lua_gettop(L);
	*count = lua_rawlen(L, t);
	const char **names = lua_newuserdatauv(L, *count * sizeof *names + 1, 0);
	for (size_t i = 0; i < *count; i++) {
		if (lua_rawgeti(L, t, (lua_Integer)i + 1) != LUA_TSTRING)
			luaL_error(L, "moongate.core: %s must be a list of names", key);
		names[i] = lua_tostring(L, -1);
		lua_pop(L, 1);
	}
	lua_remove(L, t);
	return names;
}

static struct catalogs_config take_catalogs(lua_State *L, int options)
{
	struct catalogs_config c = CATALOGS_DEFAULTS;
	c.age = take_number(L, options, "catalog_age", c.age);
	if (!take_table(L, options, "functions"))
		return c;
	int t = lua_gettop(L);
	c.functions.reads = take_names(L, t, "read", &c.functions.read_count);
	c.functions.writes = take_names(L, t, "write", &c.functions.write_count);
	return c;
}

/* The strings stay in their tables, which the options hold. */
static struct endpoint_config take_endpoint(lua_State *L, int t)
{
	static const char *const roles[] = {"unknown", "primary", "replica", NULL};
	struct endpoint_config c = {
	        .url = take_string(L, t, "url", NULL),
	        .name = take_string(L, t, "name", NULL),
	        .region = take_string(L, t, "region", NULL),
	        .weight = take_number(L, t, "weight", 1),
	        .role = (enum role)take_choice(L, t, "role", roles, ROLE_UNKNOWN),
	        .lenient = take_flag(L, t, "lenient"),
	};
	if (!c.url)
		luaL_error(L, "moongate.core: an endpoint needs a url");
	return c;
}

static size_t take_endpoints(lua_State *L, int options, struct endpoint_config *endpoints)
{
	size_t count = 0;
	take_table(L, options, "endpoints");
	int list = lua_gettop(L);
	luaL_checktype(L, list, LUA_TTABLE);
	while (lua_rawgeti(L, list, (lua_Integer)count + 1) == LUA_TTABLE) {
		if (count == CLUSTER_ENDPOINTS)
			misuse(L, "a cluster has at most %d endpoints", CLUSTER_ENDPOINTS);
		endpoints[count++] = take_endpoint(L, lua_gettop(L));
		lua_pop(L, 1);
	}
	lua_settop(L, list - 1);
	return count;
}

/* Both lists stay on the stack, in userdata of their own; the strings stay in their tables. */
static bool take_patroni(lua_State *L, int options, struct patroni_config *c)
{
	if (!take_table(L, options, "patroni"))
		return false; /* nil stays in its place */
	int t = lua_gettop(L);
	take_table(L, t, "urls");
	c->url_count = lua_rawlen(L, -1);
	const char **urls = lua_newuserdatauv(L, (c->url_count + 1) * sizeof *urls, 0);
	for (size_t i = 0; i < c->url_count; i++) {
		lua_rawgeti(L, t + 1, (lua_Integer)i + 1);
		urls[i] = luaL_checkstring(L, -1);
		lua_pop(L, 1);
	}
	take_table(L, t, "members");
	c->member_count = lua_rawlen(L, -1);
	struct patroni_known *members =
	        lua_newuserdatauv(L, (c->member_count + 1) * sizeof *members, 0);
	for (size_t i = 0; i < c->member_count; i++) {
		lua_rawgeti(L, t + 3, (lua_Integer)i + 1);
		int member = lua_gettop(L);
		members[i].name = take_string(L, member, "name", NULL);
		members[i].region = take_string(L, member, "region", NULL);
		members[i].weight = take_number(L, member, "weight", 1);
		lua_pop(L, 1);
	}
	c->urls = urls;
	c->members = members;
	c->connect = take_string(L, t, "connect", NULL);
	c->ca = take_string(L, t, "ca", NULL);
	c->interval = take_number(L, t, "interval", 0);
	c->timeout = take_number(L, t, "timeout", 0);
	return true;
}

/* Pushes the userdata, as yet without a cluster. */
static struct cluster_handle *push_handle(lua_State *L)
{
	struct cluster_handle *h = lua_newuserdatauv(L, sizeof *h, CLUSTER_USER_VALUES);
	*h = (struct cluster_handle){.state = state_of(L), .last_write = -INFINITY};
	h->policy = (struct policy){.state = h->state, .owner = h};
	list_init(&h->loans);
	list_init(&h->subscriptions);
	list_init(&h->noticed);
	luaL_setmetatable(L, CLUSTER_HANDLE);
	cluster_handle_register(L);
	lua_newtable(L);
	lua_setiuservalue(L, -2, CLUSTER_ENDPOINTS_TABLE);
	lua_newtable(L);
	lua_setiuservalue(L, -2, CLUSTER_ROUTES_TABLE);
	return h;
}

/* In the router script_load() does so, when all of the script has run. */
static void try_policy(lua_State *L, int cluster)
{
	char wrong[512];
	if (!examples_run(L, cluster, wrong, sizeof wrong))
		misuse(L, "moongate.cluster: %s", wrong);
}

/* core.cluster(options, factory, simulated): a cluster, or nil and what is wrong. Probes start at
 * once where the loop is the module's own; the router starts its clusters itself. */
static int new_cluster(lua_State *L)
{
	char wrong[512];
	struct endpoint_config endpoints[CLUSTER_ENDPOINTS];
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 3);
	bool simulated = lua_toboolean(L, 3);
	lua_settop(L, 2);
	if (state_of(L)->asking)
		return misuse(L, "moongate.cluster: clusters are made when the script is loaded, "
		                 "not for each query");
	struct cluster_config config = {.endpoints = endpoints,
	                                .endpoint_count = take_endpoints(L, 1, endpoints),
	                                .pool = take_pool(L, 1),
	                                .session = take_timeouts(L, 1),
	                                .health = take_health(L, 1),
	                                .hold_limit = take_hold_limit(L, 1),
	                                .breaker = take_breaker(L, 1),
	                                .loose = take_flag(L, 1, "loose")};
	state_settle(L, state_of(L));
	struct cluster_handle *h = push_handle(L);
	config.users = take_overrides(L, 1, "users");
	config.databases = take_overrides(L, 1, "databases");
	struct patroni_config patroni;
	config.patroni = take_patroni(L, 1, &patroni) ? &patroni : NULL;
	config.catalogs = take_catalogs(L, 1);
	h->cluster = cluster_new(h->state->context, &config, wrong, sizeof wrong);
	lua_settop(L, 3);
	if (!h->cluster) {
		lua_pushnil(L);
		lua_pushstring(L, wrong);
		return 2;
	}
	if (h->state->embedded)
		h->catalog = catalogs_join(h->cluster->catalogs, NULL, NULL);
	h->habit.threshold = take_count(L, 1, "prepare_threshold", PREPARE_THRESHOLD);
	h->null_as_nil = take_string(L, 1, "null", NULL) != NULL;
	if (h->state->embedded && !simulated) {
		lua_getfield(L, 1, "on_notice");
		on_notice_listen(L, 3);
	}
	if (!lua_isnil(L, 2))
		policy_make(L, 2, 3);
	if (h->state->embedded && !simulated) /* else the test kit tries it */
		try_policy(L, 3);
	if (simulated) {
		cluster_simulate(h->cluster);
		h->policy.logged = INFINITY; /* whoever tries it is told */
	} else if (h->state->embedded)
		cluster_start(h->cluster);
	return 1;
}

/* Endpoint `i` of the cluster at 1; NULL: there are no more. What allocates may run a finalizer,
 * which may close it: that raises. */
static const struct endpoint *nth(lua_State *L, unsigned i)
{
	const struct cluster_handle *h = lua_touserdata(L, 1);
	if (!h->cluster)
		misuse(L, "the cluster is closed");
	return i < h->cluster->endpoint_count ? h->cluster->endpoints[i] : NULL;
}

static int push_replicas(lua_State *L, const struct cluster *c)
{
	(void)c;
	lua_newtable(L);
	lua_Integer count = 0;
	const struct endpoint *e;
	for (unsigned i = 0; (e = nth(L, i)); i++)
		if (e->role == ROLE_REPLICA) {
			push_endpoint(L, 1, i);
			lua_rawseti(L, -2, ++count);
		}
	return 1;
}

static int push_primary(lua_State *L, const struct cluster *c)
{
	const struct endpoint *e = cluster_primary(c);
	if (e)
		push_endpoint(L, 1, e->index);
	else
		lua_pushnil(L);
	return 1;
}

static int push_all(lua_State *L, const struct cluster *c)
{
	lua_createtable(L, (int)c->endpoint_count, 0);
	lua_Integer count = 0;
	const struct endpoint *e;
	for (unsigned i = 0; (e = nth(L, i)); i++)
		if (!e->absent) {
			push_endpoint(L, 1, i);
			lua_rawseti(L, -2, ++count);
		}
	return 1;
}

/* Upvalue 1: the methods; 2: the fields' numbers. */
static int cluster_index(lua_State *L)
{
	static int (*const push[])(lua_State *, const struct cluster *) = {NULL, push_primary,
	                                                                   push_replicas, push_all};
	lua_pushvalue(L, 2);
	if (lua_gettable(L, lua_upvalueindex(1)) != LUA_TNIL) /* it may be read-only: readonly.h */
		return 1;
	lua_Integer field = field_number(L, 2);
	if (field == 0)
		return luaL_error(L, "a cluster has no field or method \"%s\"",
		                  luaL_tolstring(L, 2, NULL));
	return push[field](L, check_cluster(L, 1)->cluster);
}

static int is_cluster(lua_State *L)
{
	const struct cluster_handle *h = luaL_testudata(L, 1, CLUSTER_HANDLE);
	lua_pushboolean(L, h && h->cluster);
	return 1;
}

static int cluster_gc(lua_State *L)
{
	struct cluster_handle *h = luaL_checkudata(L, 1, CLUSTER_HANDLE);
	if (!h->cluster)
		return 0;
	flow_handles_abort(h->state, h->cluster, NULL, "57P01", "the cluster was closed");
	blocking_abort(h->state, h->cluster, NULL, "57P01", "the cluster was closed");
	on_notice_stop(h);
	loans_end(&h->loans);
	subscriptions_close(&h->subscriptions);
	catalogs_leave(h->catalog);
	h->catalog = NULL;
	cluster_free(h->cluster);
	h->cluster = NULL;
	return 0;
}

static int cluster_close(lua_State *L)
{
	const struct cluster_handle *h = luaL_testudata(L, 1, CLUSTER_HANDLE);
	if (!h)
		return misuse(L, "call it as cluster:close()");
	if (!h->state->embedded)
		return luaL_error(L, "cluster:close: the router closes its clusters itself");
	if (policy_busy(&h->policy))
		return luaL_error(L, "cluster:close: its policy is being asked");
	if (h->state->fence.depth > 0) /* what runs the loop may be at work for it */
		return luaL_error(L, "cluster:close: neither a policy nor a hook nor a timer can "
		                     "close a cluster");
	return cluster_gc(L);
}

static int cluster_tostring(lua_State *L)
{
	const struct cluster_handle *h = luaL_checkudata(L, 1, CLUSTER_HANDLE);
	if (h->cluster)
		lua_pushfstring(L, "%s: %d endpoints", CLUSTER_HANDLE,
		                (int)cluster_present(h->cluster));
	else
		lua_pushfstring(L, "%s (closed)", CLUSTER_HANDLE);
	return 1;
}

void open_cluster(lua_State *L)
{
	static const luaL_Reg metamethods[] = {{"__gc", cluster_gc},
	                                       {"__close", cluster_close},
	                                       {"__tostring", cluster_tostring},
	                                       {NULL, NULL}};
	static const luaL_Reg methods[] = {{"close", cluster_close}, {NULL, NULL}};
	static const char *const fields[] = {NULL, "primary", "replicas", "endpoints"};
	static const luaL_Reg functions[] = {
	        {"cluster", new_cluster}, {"is_cluster", is_cluster}, {NULL, NULL}};
	handle_class(L, CLUSTER_HANDLE, metamethods, NULL);
	luaL_newlib(L, methods);
	lua_pushvalue(L, -1);
	lua_setfield(L, -4, "cluster_methods"); /* for lua/moongate to add to */
	field_numbers(L, fields, COUNT(fields));
	lua_pushcclosure(L, cluster_index, 2);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
