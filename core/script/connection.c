/* connection.c - see connection.h. */
/* SPDX-License-Identifier: MIT */
#include "script/connection.h"

#include "script/answer.h"
#include "script/misuse.h"

#include <string.h>

struct connection *check_connection(lua_State *L)
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
		misuse(L, "the connection is busy: a statement of another task is under way, or "
		          "rows() that are not at their end");
	return c;
}

struct connection *check_connection_for_query(lua_State *L)
{
	struct connection *c = check_connection(L);
	if (!c->owner->cluster)
		misuse(L, "the connection's cluster is closed");
	return c;
}

int connection_push_lost(lua_State *L, const struct connection *c)
{
	lua_pushfstring(L, "the connection was lost: %s", c->loan.lost);
	push_failure(L, lua_tostring(L, -1), "08006", NULL);
	return answer_failure(L);
}

bool connection_in_block(const struct connection *c)
{
	PGTransactionStatusType status = PQtransactionStatus(c->loan.server->conn);
	return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}

const struct facts *connection_facts(lua_State *L, const struct connection *c, const char *sql)
{
	struct classifier *classifier = state_classifier(L, c->owner->state);
	return classifier_facts(classifier, cluster_handle_catalog(c->owner), sql, strlen(sql),
	                        true);
}

struct verdict connection_ask(lua_State *L, const struct connection *c, const struct facts *facts,
                              const struct exec_query *query)
{
	struct cluster_handle *h = c->owner;
	uint64_t key = 0;
	bool in_block = connection_in_block(c);
	const struct transaction_facts block = {.endpoint = c->loan.server->endpoint};
	const struct query q = {.facts = facts,
	                        .sql = query->sql,
	                        .sql_size = strlen(query->sql),
	                        .standard_strings = true,
	                        .writes = facts_may_write(facts),
	                        .in_transaction = in_block,
	                        .transaction = in_block ? &block : NULL,
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

bool connection_may_commit(const struct connection *c, const struct facts *f, bool writes)
{
	if (!writes || f->kind == SQL_BEGIN)
		return false;
	return !connection_in_block(c) || (f->effects & EFFECT_END && !c->only_reads);
}

/* What push_failure() has pushed is on top. */
static int rejected(lua_State *L, struct blocking *b)
{
	(void)b;
	return answer_failure(L);
}

int connection_reject(lua_State *L, struct connection *c, struct blocking *b)
{
	static const struct exec_query stand_in = {.sql = "rejected by policy", .count = -1};
	if (!connection_in_block(c))
		return answer_failure(L);
	operation_run(&b->op, &c->loan, &stand_in, connection_facts(L, c, stand_in.sql), false,
	              blocking_done);
	return blocking_await(L, b, rejected);
}
