/* bind_transaction.c - query.transaction: the block that the statement stands in. */
/* SPDX-License-Identifier: MIT */
#include "script/query_handle.h"

enum field {
	FIELD_NONE,
	FIELD_READ_ONLY,
	FIELD_DEFERRABLE,
	FIELD_ISOLATION,
	FIELD_ENDPOINT,
	FIELD_AGE
};

static const char *const names[] = {
        [FIELD_READ_ONLY] = "read_only",
        [FIELD_DEFERRABLE] = "deferrable",
        [FIELD_ISOLATION] = "isolation",
        [FIELD_ENDPOINT] = "endpoint",
        [FIELD_AGE] = "age",
};

static int push_place(lua_State *L, const struct endpoint *e)
{
	lua_getiuservalue(L, lua_upvalueindex(UP_HANDLE), USER_CLUSTER);
	push_own_endpoint(L, lua_gettop(L), e);
	return 1;
}

static int transaction_index(lua_State *L)
{
	const struct transaction_facts *t = query_current(L)->query->transaction;
	if (!t)
		return luaL_error(L, "the query being asked about stands in no transaction");
	switch ((enum field)field_number(L, UP_FIELDS)) {
	case FIELD_READ_ONLY:
		lua_pushboolean(L, t->read_only);
		break;
	case FIELD_DEFERRABLE:
		lua_pushboolean(L, t->deferrable);
		break;
	case FIELD_ISOLATION:
		lua_pushstring(L, t->isolation);
		break;
	case FIELD_ENDPOINT:
		return push_place(L, t->endpoint);
	case FIELD_AGE:
		lua_pushnumber(L, t->age);
		break;
	case FIELD_NONE:
		return field_unknown(L, "query.transaction", names, COUNT(names));
	}
	return 1;
}

void query_open_transaction(lua_State *L, int handle)
{
	lua_newuserdatauv(L, 0, 0);
	query_view(L, handle, "moongate.transaction_view", transaction_index, query_read_only,
	           names, COUNT(names));
	lua_setiuservalue(L, handle, USER_TRANSACTION);
}
