/* query_handle.h - the userdata that a policy is called with, and the views that hang on it
 * (query.session, query.transaction): one of each per policy, used for every question.
 *
 * All of them read what is being asked, and raise when nothing is. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_QUERY_HANDLE_H
#define MOONGATE_SCRIPT_QUERY_HANDLE_H

#include "script/handles.h"

/* User values of the query's userdata. Those of a list are kept for the rest of the call. */
enum {
	USER_VARS = 1,
	USER_TABLES,
	USER_FUNCTIONS,
	USER_TAGS,
	USER_SESSION,
	USER_KEY,
	USER_TRANSACTION,
	USER_CLUSTER,
	USER_STATS,
	USER_VALUES = 9
};

/* Upvalues of an __index or __newindex. */
enum { UP_HANDLE = 1, UP_FIELDS, UP_INTENT, UP_READ, UP_WRITE, UP_COUNT = 5 };

struct query_handle {
	const struct query *query; /* NULL: nothing is being asked */
	unsigned made;             /* a bit per list that was made in this call */
};

/* For a metamethod: the query that is being asked about; raises where none is. */
struct query_handle *query_current(lua_State *L);

/* Gives the userdata on top a metatable of its own, whose functions know the query's userdata, at
 * `handle`. */
void query_view(lua_State *L, int handle, const char *name, lua_CFunction index,
                lua_CFunction newindex, const char *const *names, size_t count);

/* A __newindex that refuses. */
int query_read_only(lua_State *L);

/* Makes the views that hang on the query's userdata, at `handle`. */
void query_open_session(lua_State *L, int handle);
void query_open_transaction(lua_State *L, int handle);

#endif
