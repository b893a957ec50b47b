/* connection.h - a borrowed server as a handle: what the files share that give it its methods. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_CONNECTION_H
#define MOONGATE_SCRIPT_CONNECTION_H

#include "cluster/exec.h"
#include "script/blocking.h"
#include "script/handles.h"
#include "script/loans.h"

/* User value 1: the cluster's userdata. */
struct connection {
	struct cluster_handle *owner;
	struct loan loan;
	bool released;
	bool only_reads; /* the block that it is in, as it was begun */
};

/* The connection at 1; raises where it is none, was released, or is busy. */
struct connection *check_connection(lua_State *L);

/* The same for what is to be run on it: its cluster is open. The server may be lost. */
struct connection *check_connection_for_query(lua_State *L);

/* Pushes why its server was lost, as push_failure() does. */
int connection_push_lost(lua_State *L, const struct connection *c);

bool connection_in_block(const struct connection *c);

/* Valid until the next of them. */
const struct facts *connection_facts(lua_State *L, const struct connection *c, const char *sql);

/* What runs on a server that is lent already is shown to the policy, which may reject it. A block
 * can always be begun and ended. The connection stands at 1. */
struct verdict connection_ask(lua_State *L, const struct connection *c, const struct facts *facts,
                              const struct exec_query *query);

/* Whether nobody knows what was written when the server is lost while such a statement runs, which
 * is a write (`writes`) or not. */
bool connection_may_commit(const struct connection *c, const struct facts *facts, bool writes);

/* Ends a call whose statement was rejected: the failure that was pushed is what it returns. A block
 * fails with it, as it does with PostgreSQL's own errors. */
int connection_reject(lua_State *L, struct connection *c, struct blocking *blocking);

/* Adds query, one, value, exec, prepare and cancel to the table on top; and what connections'
 * prepared statements have, as core.connection_statement_methods to that below its metatable. */
void open_connection_query(lua_State *L);

#endif
