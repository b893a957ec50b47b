/* policy_lua.h - a policy as the script room sees it: the Lua side of policy.h. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_POLICY_LUA_H
#define MOONGATE_SCRIPT_POLICY_LUA_H

#include "script/policy.h"

#include <lauxlib.h>
#include <lua.h>

#define POLICY_MESSAGE 256 /* bytes of a rejection's text */
#define POLICY_LABEL   "reject: "

struct state;
struct query_handle;
struct cluster_handle;

/* How a function of the script's does that is not its policy's `route`. */
struct hook_health {
	uint64_t errors;
	unsigned streak;   /* errors in a row */
	bool off;          /* there were too many */
	double logged;     /* when the last error was */
	uint64_t unlogged; /* errors since then */
};

/* Lies inside of its cluster's handle. */
struct policy {
	struct state *state;
	struct cluster_handle *owner;
	struct query_handle *handle; /* NULL: there is no function, the default route decides */
	struct policy_stats stats;
	struct rule *rules; /* that its factory has made, in that order */
	bool trying;        /* on its examples: nothing is logged */
	unsigned examples;  /* that it was tried on, and has passed */
	unsigned streak;    /* errors in a row */
	double logged;      /* when the last error was */
	uint64_t unlogged;  /* errors since then */
	unsigned hooks;     /* that it has: bits 1 << enum hook */
	struct hook_health hook_health[HOOKS];
	lua_State *L; /* policy_anchor(); NULL: only policy_ask() */
	int anchor;   /* where on L's stack the function stands, and next to it the query */
	char label[sizeof POLICY_LABEL + POLICY_MESSAGE];
	char why[512];   /* the last error */
	char where[128]; /* "FILE:LINE" where its function begins */
};

/* A Lua object, which its cluster's userdata keeps: see bind_rule.c. */
struct rule {
	struct rule *next; /* of its policy's */
	struct policy_rule shown;
	char name[POLICY_RULE_NAME];
};

/* Asks the function below the query handle on top of L's stack, and pops both. Must not be called
 * while this policy is being asked. Neither raises nor leaves Lua's memory short. */
struct verdict policy_ask(lua_State *L, struct policy *policy, const struct query *query);

/* The same for a policy without a function. */
struct verdict policy_default(struct policy *policy, const struct query *query);

bool policy_busy(const struct policy *policy);

/* Says where on L's own stack the function stands for good, and next to it the query handle: what
 * policy_route() uses. For a state that is the router's. */
void policy_anchor(struct policy *policy, lua_State *L, int index);

/* query_handle.h's part. Pushes the userdata that a policy of the cluster at `cluster` is called
 * with. */
struct query_handle *query_handle_new(lua_State *L, int cluster);
/* Returns what was being asked about before: a hook may run while its policy is asked. */
const struct query *query_handle_begin(struct query_handle *handle, const struct query *query);
void query_handle_resume(struct query_handle *handle, const struct query *query);
void query_handle_end(struct query_handle *handle);
bool query_handle_busy(const struct query_handle *handle);
const struct query *query_handle_query(const struct query_handle *handle); /* NULL: not busy */

/* Forgets a session's `vars`; the query handle is on top of the stack. */
void query_handle_drop_vars(lua_State *L, int vars);

/* Copies them from another Lua state, on top of whose stack their query's handle is; returns the
 * reference in this one. May raise. */
int query_handle_copy_vars(lua_State *L, lua_State *from, int vars);

#endif
