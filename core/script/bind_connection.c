/* bind_connection.c - one borrowed server as a handle: what pools lend, and transactions run on. */
/* SPDX-License-Identifier: MIT */
#include "script/answer.h"
#include "script/blocking.h"
#include "script/connection.h"
#include "script/flow_handle.h"
#include "script/misuse.h"
#include "script/patience.h"

#include <math.h>
#include <stdio.h>

#define LEAST_PATIENCE 1e-9 /* s; 0 is the default */

static const char *const intents[] = {"read", "write", NULL};

static struct connection *push_connection(lua_State *L, int cluster)
{
	struct connection *c = lua_newuserdatauv(L, sizeof *c, 1);
	*c = (struct connection){.owner = lua_touserdata(L, cluster)};
	lua_pushvalue(L, cluster);
	lua_setiuservalue(L, -2, 1);
	luaL_setmetatable(L, CONNECTION_HANDLE);
	return c;
}

static int borrowed(lua_State *L, struct blocking *b)
{
	struct connection *c = lua_touserdata(L, 4);
	if (!b->op.server)
		return push_failure(L, b->op.message, b->op.sqlstate, b->op.result);
	loan_begin(&c->loan, &c->owner->loans, &c->owner->state->lent, b->op.server);
	b->op.server = NULL;
	lua_pushvalue(L, 4);
	return 1;
}

/* The argument at 2: a route, or an intent, which has the cluster's default route. */
static struct route *take_route(lua_State *L, const struct cluster_handle *h)
{
	const struct route_handle *route = luaL_testudata(L, 2, ROUTE_HANDLE);
	if (route)
		return route->route;
	enum intent intent = (enum intent)luaL_checkoption(L, 2, "write", intents);
	return cluster_default_route(h->cluster, intent);
}

/* core.borrow(cluster, "read" | "write" | route, what, timeout?): a connection, or nil, message,
 * code, fields. */
static int borrow(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	struct route *route = take_route(L, h);
	const char *what = luaL_checkstring(L, 3);
	double patience = take_patience(L, 4, what);
	lua_settop(L, 3);
	push_connection(L, 1); /* at 4 */
	struct blocking *b = blocking_begin_on(L, h, sizeof *b, what);
	blocking_catch_up(h);
	const struct dispatch_request request = {
	        .cluster = h->cluster,
	        .route = route,
	        .last_write = h->last_write,
	        .need = &h->need,
	        .patience = isinf(patience) ? 0 : fmax(patience, LEAST_PATIENCE),
	};
	operation_borrow(&b->op, &request, blocking_done);
	return blocking_await(L, b, borrowed);
}

/* core.status(connection): "idle", "in_block", "failed", "lost"; what the transaction is in. */
static int connection_status(lua_State *L)
{
	const struct connection *c = check_connection(L);
	const char *status = "lost";
	if (c->loan.server)
		switch (PQtransactionStatus(c->loan.server->conn)) {
		case PQTRANS_IDLE:
			status = "idle";
			break;
		case PQTRANS_INTRANS:
			status = "in_block";
			break;
		case PQTRANS_INERROR:
			status = "failed";
			break;
		default:
			break;
		}
	lua_pushstring(L, status);
	return 1;
}

/* What is under way on it fails, and its server is lost with that. */
static void stop(struct connection *c, const char *message)
{
	if (c->loan.busy)
		flow_handles_abort(c->owner->state, NULL, &c->loan, "08003", message);
	if (c->loan.busy)
		blocking_abort(c->owner->state, NULL, &c->loan, "08003", message);
}

static int connection_release(lua_State *L)
{
	struct connection *c = luaL_testudata(L, 1, CONNECTION_HANDLE);
	if (!c)
		misuse(L, "call it as connection:release()");
	if (!c->released) {
		stop(c, "the connection was released meanwhile");
		loan_end(&c->loan);
	}
	c->released = true;
	return 0;
}

/* core.stop(connection): its transaction is to be undone, whatever another task runs in it. */
static int connection_stop(lua_State *L)
{
	struct connection *c = luaL_checkudata(L, 1, CONNECTION_HANDLE);
	struct server *server = c->loan.server;
	if (c->released || !server || !c->loan.busy)
		return 0;
	snprintf(server->error, sizeof server->error,
	         "its transaction ended while a statement of another task was under way");
	stop(c, "the transaction ended meanwhile");
	return 0;
}

/* core.release(cluster, connection): what pool:release() does, which may get anything. */
static int give_back(lua_State *L)
{
	const struct cluster_handle *h = lua_touserdata(L, 1);
	const struct connection *c = luaL_testudata(L, 2, CONNECTION_HANDLE);
	if (!c)
		misuse(L, "pool:release: a " CONNECTION_HANDLE " expected, got %s",
		       luaL_typename(L, 2));
	if (c->owner != h)
		misuse(L, "pool:release: the connection is another pool's");
	lua_remove(L, 1);
	return connection_release(L);
}

static int connection_tostring(lua_State *L)
{
	const struct connection *c = luaL_checkudata(L, 1, CONNECTION_HANDLE);
	if (c->loan.server)
		lua_pushfstring(L, "%s: %s", CONNECTION_HANDLE, c->loan.server->endpoint->name);
	else
		lua_pushfstring(L, "%s (%s)", CONNECTION_HANDLE, c->released ? "released" : "lost");
	return 1;
}

void open_connection(lua_State *L)
{
	static const luaL_Reg metamethods[] = {{"__gc", connection_release},
	                                       {"__close", connection_release},
	                                       {"__tostring", connection_tostring},
	                                       {NULL, NULL}};
	static const luaL_Reg methods[] = {
	        {"status", connection_status}, {"release", connection_release}, {NULL, NULL}};
	static const luaL_Reg functions[] = {{"borrow", borrow},
	                                     {"release", give_back},
	                                     {"stop", connection_stop},
	                                     {NULL, NULL}};
	handle_class(L, CONNECTION_HANDLE, metamethods, methods);
	lua_getfield(L, -1, "__index");
	open_connection_query(L);
	lua_setfield(L, -3, "connection_methods"); /* for lua/moongate to add to */
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
