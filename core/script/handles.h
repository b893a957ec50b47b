/* handles.h - what the Lua handles of moongate hold, and how they are made.
 *
 * Every handle of a cluster keeps the cluster's userdata alive and reaches the cluster through it;
 * cluster:close() blanks `cluster` there, and with that all of them. All metatables have a false
 * __metatable, so that a script cannot get at their finalizers. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_HANDLES_H
#define MOONGATE_SCRIPT_HANDLES_H

#include "base/list.h"
#include "cluster/cluster.h"
#include "cluster/scopes.h"
#include "script/habit.h"
#include "script/policy_lua.h"
#include "script/state.h"

#include <lauxlib.h>
#include <lua.h>

#define COUNT(array)      (sizeof(array) / sizeof *(array))

#define CLUSTER_HANDLE    "moongate.cluster"
#define ROUTE_HANDLE      "moongate.route"
#define ENDPOINT_HANDLE   "moongate.endpoint"
#define REJECTION_HANDLE  "moongate.rejection"
#define ROUTER_HANDLE     "moongate.router"
#define BACKOFF_HANDLE    "moongate.backoff"
#define CONNECTION_HANDLE "moongate.connection"
#define RULE_HANDLE       "moongate.rule"
#define STATS_HANDLE      "moongate.stats"

/* User values of a cluster's userdata. */
enum {
	CLUSTER_ENDPOINTS_TABLE = 1,
	CLUSTER_ROUTES_TABLE,
	CLUSTER_POLICY,
	CLUSTER_QUERY,
	CLUSTER_HOOKS,
	CLUSTER_SHADOW_POLICY,
	CLUSTER_SHADOW_QUERY,
	CLUSTER_SHADOW,
	CLUSTER_TESTS,
	CLUSTER_DECODERS, /* by OID: types.h; nil: none */
	CLUSTER_ON_NOTICE,
	CLUSTER_USER_VALUES = CLUSTER_ON_NOTICE
};

struct cluster_handle {
	struct cluster *cluster; /* NULL: closed */
	struct state *state;
	struct policy policy;
	struct shadow *shadow;          /* NULL: none */
	struct catalog_source *catalog; /* of the URLs' database */
	struct session_facts session;   /* the embedded module's own: one per cluster */
	double last_write;              /* see struct demand */
	struct need need;   /* what else its reads have to see: the handle is one session */
	struct habit habit; /* of statements, which are prepared when they have run often */
	bool text_only;     /* results are: it has decoders for what may come in binary */
	bool null_as_nil;   /* rows leave NULL out, instead of moongate.NULL */
	struct route_handle *routes; /* all that were made: CLUSTER_ROUTES_TABLE keeps them */
	struct list loans;           /* connections and transactions that hold a server */
	struct list subscriptions;   /* those of its listeners */
	struct list noticed;         /* in its state's `noticed`, where there are notices to tell */
	struct hook_health notice_health; /* of on_notice */
};

/* A write of this session was seen done, or may have been; `tables` NULL: any. */
void handle_wrote(struct cluster_handle *h, uint64_t key, const struct tables *tables);

/* It has read there. */
void handle_read(struct cluster_handle *h, const struct endpoint *endpoint);

/* User value 1: the cluster's userdata. */
struct route_handle {
	struct route_handle *next; /* of its owner's */
	struct cluster_handle *owner;
	struct route *route;
};

/* User value 1: the cluster's userdata; 2: its `stats`, once they were asked for. */
struct endpoint_handle {
	struct cluster_handle *owner;
	unsigned index, serial;
};

/* NULL: it has left the cluster for good, and another is in its place. The cluster is not closed.
 */
static inline struct endpoint *endpoint_of(const struct endpoint_handle *h)
{
	struct endpoint *e = h->owner->cluster->endpoints[h->index];
	return e->serial == h->serial ? e : NULL;
}

/* What moongate.router() makes has no content of its own, but four user values: the address to
 * listen on, a table from the names of databases to clusters, admin's address or nil, and whether
 * queries are logged. */
enum {
	ROUTER_LISTEN = 1,
	ROUTER_CLUSTERS,
	ROUTER_ADMIN,
	ROUTER_LOG_QUERIES,
	ROUTER_USER_VALUES = 4
};

/* What moongate.reject() makes. */
struct rejection {
	char sqlstate[6];
	char message[POLICY_MESSAGE];
};

/* Names a new metatable (left on the stack) and hides it from scripts. `methods` may be NULL. */
void handle_class(lua_State *L, const char *name, const luaL_Reg *metamethods,
                  const luaL_Reg *methods);

/* A handle's fields: pushes a table from their names (names[0] is not used) to their numbers; an
 * __index that has it as upvalue `upvalue` looks its second argument up (0: none); and says that
 * there is none, listing those that there are. */
void field_numbers(lua_State *L, const char *const *names, size_t count);
lua_Integer field_number(lua_State *L, int upvalue);
int field_unknown(lua_State *L, const char *what, const char *const *names, size_t count);

/* Remembers the cluster's userdata on top of the stack, without keeping it alive. */
void cluster_handle_register(lua_State *L);

/* Pushes its userdata, or nil where it has gone. Allocates nothing. */
void cluster_handle_push(lua_State *L, const struct cluster_handle *h);

/* The cluster at `index`; raises where it is none, or closed. */
struct cluster_handle *check_cluster(lua_State *L, int index);

/* Raises in a child of fork() that did not make the cluster; which is not closed. */
void check_own(lua_State *L, const struct cluster_handle *handle);

/* Asks the policy of the cluster at `cluster`, an absolute index; raises while it is being asked.
 */
struct verdict cluster_handle_decide(lua_State *L, int cluster, const struct query *query);

/* What is known of its database now; NULL: nothing. */
const struct catalog *cluster_handle_catalog(const struct cluster_handle *h);

/* Pushes the one userdata that stands for this endpoint. `cluster` is an absolute index. */
void push_endpoint(lua_State *L, int cluster, unsigned index);

/* The same; nil for one of another cluster, such as a session keeps whose endpoint a reload has
 * removed, and for NULL. */
void push_own_endpoint(lua_State *L, int cluster, const struct endpoint *e);

/* Pushes a view of what statements have cost: `query.stats` of the query handle at `handle`, whose
 * owner is the cluster's handle; and `endpoint.stats` of the endpoint's handle there. Absolute
 * indexes. */
void push_query_stats(lua_State *L, int handle, const struct cluster_handle *owner);
int push_endpoint_stats(lua_State *L, int handle); /* 1 */

struct backoff_config take_backoff(lua_State *L, int table);

/* Rules that are made from now on are of this policy of the cluster at `cluster`, an absolute
 * index; NULL: of nobody's. */
void rules_of(lua_State *L, int cluster, struct policy *policy);

/* Calls the factory at `factory` with the cluster at `cluster` (absolute indexes); what it returns
 * decides from then on. May raise. */
void policy_make(lua_State *L, int factory, int cluster);

/* Each makes its metatables and adds its functions to the table on top of the stack. */
void open_cluster(lua_State *L);
void open_route(lua_State *L);
void open_endpoint(lua_State *L);
void open_router(lua_State *L);
void open_statement(lua_State *L);
void open_token(lua_State *L);
void open_connection(lua_State *L);
void open_pipeline(lua_State *L);
void open_pool(lua_State *L);
void open_probe(lua_State *L);
void open_listen(lua_State *L);
void open_backoff(lua_State *L);
void open_stats(lua_State *L);
void open_classify(lua_State *L);
void open_rule(lua_State *L);
void open_names(lua_State *L);
void open_simulate(lua_State *L);
void open_timer(lua_State *L);
void open_task(lua_State *L);
void open_foreign(lua_State *L);
void open_policy(lua_State *L);

#endif
