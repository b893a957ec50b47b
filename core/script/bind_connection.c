/* bind_connection.c - one borrowed server as a handle: what pools lend, and transactions run on. */
/* SPDX-License-Identifier: MIT */
#include "script/answer.h"
#include "script/blocking.h"
#include "script/loans.h"
#include "script/misuse.h"
#include "script/parameters.h"

#include <string.h>

static const char *const intents[] = {"read", "write", NULL};

/* User value 1: the cluster's userdata. */
struct connection {
	struct cluster_handle *owner;
	struct loan loan;
	bool released;
	bool only_reads; /* the block that it is in, as it was begun */
};

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
		return push_answer(L, &b->op, c->owner);
	loan_begin(&c->loan, &c->owner->loans, b->op.server);
	b->op.server = NULL;
	lua_pushvalue(L, 4);
	return 1;
}

/* core.borrow(cluster, "read" | "write", what): a connection by the default route, or nil, message,
 * code. */
static int borrow(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	enum intent intent = (enum intent)luaL_checkoption(L, 2, "write", intents);
	const char *what = luaL_checkstring(L, 3);
	lua_settop(L, 3);
	push_connection(L, 1); /* at 4 */
	struct blocking *b = blocking_begin(L, h->state, what);
	blocking_catch_up(h);
	const struct dispatch_request request = {
	        .cluster = h->cluster,
	        .route = cluster_default_route(h->cluster, intent),
	        .last_write = h->last_write,
	        .need = &h->need,
	};
	operation_borrow(&b->op, &request, blocking_done);
	return blocking_await(L, b, borrowed);
}

static struct connection *check(lua_State *L)
{
	struct connection *c = luaL_testudata(L, 1, CONNECTION_HANDLE);
	if (!c)
		misuse(L,
		       "a " CONNECTION_HANDLE " expected, got %s; its methods are called as "
		       "connection:method()",
		       luaL_typename(L, 1));
	if (c->released)
		misuse(L, "the connection was released");
	if (c->owner->cluster)
		check_own(L, c->owner);
	if (c->loan.busy)
		misuse(L, "the connection is busy: a statement of another task is under way");
	return c;
}

static int push_lost(lua_State *L, const struct connection *c)
{
	lua_pushfstring(L, "the connection was lost: %s", c->loan.lost);
	return push_failure(L, lua_tostring(L, -1), "08006", NULL);
}

static bool in_block(const struct connection *c)
{
	PGTransactionStatusType status = PQtransactionStatus(c->loan.server->conn);
	return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}

static const struct facts *facts_of(lua_State *L, const struct connection *c, const char *sql)
{
	struct classifier *classifier = state_classifier(L, c->owner->state);
	return classifier_facts(classifier, cluster_handle_catalog(c->owner), sql, strlen(sql),
	                        true);
}

/* What runs on a server that is lent already is shown to the policy, which may reject it. A block
 * can always be begun and ended. */
static struct verdict ask(lua_State *L, const struct connection *c, const struct exec_query *query)
{
	struct cluster_handle *h = c->owner;
	const struct facts *facts = facts_of(L, c, query->sql);
	uint64_t key = 0;
	const struct transaction_facts block = {.endpoint = c->loan.server->endpoint};
	const struct query q = {.facts = facts,
	                        .sql = query->sql,
	                        .sql_size = strlen(query->sql),
	                        .standard_strings = true,
	                        .writes = facts_may_write(facts),
	                        .in_transaction = in_block(c),
	                        .transaction = in_block(c) ? &block : NULL,
	                        .bound = true,
	                        .parameters = query->count > 0 ? (unsigned)query->count : 0,
	                        .key = &key,
	                        .session = &h->session};
	if (facts->effects & (EFFECT_BEGIN | EFFECT_END | EFFECT_SAVEPOINT))
		return policy_default(&h->policy, &q);
	lua_getiuservalue(L, 1, 1);
	int cluster = lua_gettop(L);
	return cluster_handle_decide(L, cluster, &q);
}

/* One connection:query(); the connection stands at 1 on the stack. */
struct query_call {
	struct blocking blocking;
	struct connection *c;
	bool may_commit, noted;
	bool unpins, changes;
	unsigned pins;
};

/* What push_failure() has pushed is on top. */
static int rejected(lua_State *L, struct blocking *b)
{
	(void)L;
	(void)b;
	return 4;
}

/* A block fails with it, as it does with PostgreSQL's own errors. */
static int reject(lua_State *L, struct query_call *call, const struct verdict *v)
{
	static const struct exec_query stand_in = {.sql = "rejected by policy", .count = -1};
	struct connection *c = call->c;
	struct blocking *b = &call->blocking;
	int count = push_failure(L, v->message, v->sqlstate, NULL);
	if (!in_block(c))
		return count;
	operation_run(&b->op, &c->loan, &stand_in, facts_of(L, c, stand_in.sql), false,
	              blocking_done);
	return blocking_await(L, b, rejected);
}

static void note_write(struct query_call *call)
{
	if (call->may_commit && !call->noted)
		handle_wrote(call->c->owner, 0, NULL);
	call->noted = true;
}

/* It was given up: what had been sent may have been done. */
static void query_end(struct blocking *b)
{
	struct query_call *call = (struct query_call *)b;
	if (call->c->owner->cluster)
		note_write(call);
}

static int query_done(lua_State *L, struct blocking *b)
{
	struct query_call *call = (struct query_call *)b;
	struct connection *c = call->c;
	if (!c->owner->cluster) /* closed meanwhile */
		return push_answer(L, &b->op, c->owner);
	if (call->unpins && !*b->op.sqlstate)
		c->loan.pins = call->pins; /* DISCARD ALL has run: it fails inside of a block */
	if (call->changes)
		catalogs_stale(c->owner->catalog);
	note_write(call);
	if (c->loan.server)
		handle_read(c->owner, c->loan.server->endpoint);
	return push_answer(L, &b->op, c->owner);
}

/* Whether nobody knows what was written when the server is lost meanwhile. */
static bool may_commit(const struct connection *c, const struct facts *f)
{
	if (f->intent != INTENT_WRITE || f->kind == SQL_BEGIN)
		return false;
	return !in_block(c) || (f->effects & EFFECT_END && !c->only_reads);
}

static int run(lua_State *L, struct query_call *call, const struct exec_query *query)
{
	struct connection *c = call->c;
	const struct facts *f = facts_of(L, c, query->sql);
	call->may_commit = may_commit(c, f);
	if (f->effects & (EFFECT_BEGIN | EFFECT_READ_WRITE))
		c->only_reads = f->effects & EFFECT_READ_ONLY;
	call->unpins = f->effects & EFFECT_UNPIN_ALL;
	call->changes = f->effects & EFFECT_DDL;
	call->pins = facts_pins_with_settings(f);
	c->loan.pins |= call->pins;
	operation_run(&call->blocking.op, &c->loan, query, f, call->may_commit, blocking_done);
	call->blocking.end = query_end;
	return blocking_await(L, &call->blocking, query_done);
}

/* connection:query(sql, ...), one, value, exec: see push_answer(). */
static int connection_query(lua_State *L)
{
	struct connection *c = check(L);
	struct exec_query query = take_query(L, 2);
	if (!c->owner->cluster)
		misuse(L, "the connection's cluster is closed");
	struct query_call *call =
	        blocking_begin_sized(L, c->owner->state, sizeof *call, "connection:query");
	call->c = c;
	if (!c->loan.server)
		return push_lost(L, c);
	struct verdict v = ask(L, c, &query);
	if (v.kind == VERDICT_REJECT)
		return reject(L, call, &v);
	return run(L, call, &query);
}

/* core.status(connection): "idle", "in_block", "failed", "lost"; what the transaction is in. */
static int connection_status(lua_State *L)
{
	const struct connection *c = check(L);
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

static int connection_release(lua_State *L)
{
	struct connection *c = luaL_checkudata(L, 1, CONNECTION_HANDLE);
	if (!c->released && c->loan.busy)
		blocking_abort(c->owner->state, NULL, &c->loan, "08003",
		               "the connection was released meanwhile");
	if (!c->released)
		loan_end(&c->loan);
	c->released = true;
	return 0;
}

/* core.release(connection): what pool:release() does, which may get anything. */
static int give_back(lua_State *L)
{
	if (!luaL_testudata(L, 1, CONNECTION_HANDLE))
		misuse(L, "pool:release: a " CONNECTION_HANDLE " expected, got %s",
		       luaL_typename(L, 1));
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

static void add_stats(struct pool_stats *sum, struct endpoint *e)
{
	struct pool *pool = pool_of(e, NULL, NULL);
	if (!pool)
		return;
	struct pool_stats s = pool_stats(pool);
	sum->size += s.size;
	sum->idle += s.idle;
	sum->lent += s.lent;
	sum->opening += s.opening;
	sum->waiting += s.waiting;
	sum->opened += s.opened;
	sum->closed += s.closed;
	sum->acquired += s.acquired;
	sum->timeouts += s.timeouts;
	sum->failures += s.failures;
}

static void set_count(lua_State *L, const char *key, uint64_t count)
{
	lua_pushinteger(L, (lua_Integer)count);
	lua_setfield(L, -2, key);
}

/* core.pool_stats(cluster, "read" | "write"): over the replicas, or of the primary. */
static int stats(lua_State *L)
{
	struct cluster *c = check_cluster(L, 1)->cluster;
	bool read = luaL_checkoption(L, 2, NULL, intents) == INTENT_READ && c->endpoint_count > 1;
	struct pool_stats sum = {0};
	for (size_t i = 0; i < c->endpoint_count; i++)
		if ((c->endpoints[i]->role == ROLE_REPLICA) == read)
			add_stats(&sum, c->endpoints[i]);
	lua_createtable(L, 0, 10);
	set_count(L, "size", sum.size);
	set_count(L, "idle", sum.idle);
	set_count(L, "lent", sum.lent);
	set_count(L, "opening", sum.opening);
	set_count(L, "waiting", sum.waiting);
	set_count(L, "opened", sum.opened);
	set_count(L, "closed", sum.closed);
	set_count(L, "acquired", sum.acquired);
	set_count(L, "timeouts", sum.timeouts);
	set_count(L, "failures", sum.failures);
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
	static const luaL_Reg functions[] = {
	        {"borrow", borrow}, {"release", give_back}, {"pool_stats", stats}, {NULL, NULL}};
	handle_class(L, CONNECTION_HANDLE, metamethods, methods);
	lua_getfield(L, -1, "__index");
	open_query_methods(L, connection_query);
	lua_setfield(L, -3, "connection_methods"); /* for lua/moongate to add to */
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
