/* bind_query.c - `query`, what a policy is called with: one userdata, used for every question.
 *
 * Its fields are made when they are read. Reading it between calls raises; a policy that keeps it
 * finds the query of the call that it is in, as in its argument. */
/* SPDX-License-Identifier: MIT */
#include "cluster/scopes.h"
#include "script/query_handle.h"
#include "sql/tags.h"

#include <inttypes.h>
#include <stdio.h>

enum field {
	FIELD_NONE,
	FIELD_INTENT,
	FIELD_KIND,
	FIELD_SQL,
	FIELD_FINGERPRINT,
	FIELD_TABLES,
	FIELD_FUNCTIONS,
	FIELD_TAGS,
	FIELD_IN_TRANSACTION,
	FIELD_SESSION,
	FIELD_PARAMETERS,
	FIELD_KEY,
	FIELD_TRANSACTION,
	FIELD_WRITES,
	FIELD_BOUND,
	FIELD_STATS,
};

static const char *const field_names[] = {
        [FIELD_INTENT] = "intent",   [FIELD_KIND] = "kind",
        [FIELD_SQL] = "sql",         [FIELD_FINGERPRINT] = "fingerprint",
        [FIELD_TABLES] = "tables",   [FIELD_FUNCTIONS] = "functions",
        [FIELD_TAGS] = "tags",       [FIELD_IN_TRANSACTION] = "in_transaction",
        [FIELD_SESSION] = "session", [FIELD_PARAMETERS] = "parameters",
        [FIELD_KEY] = "key",         [FIELD_TRANSACTION] = "transaction",
        [FIELD_WRITES] = "writes",   [FIELD_BOUND] = "bound",
        [FIELD_STATS] = "stats",
};

static void push_list(lua_State *L, const char *const *names, size_t count)
{
	lua_createtable(L, (int)count, 0);
	for (size_t i = 0; i < count; i++) {
		lua_pushstring(L, names[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

static void add_tag(const char *key, size_t key_size, const char *value, size_t value_size,
                    void *arg)
{
	lua_State *L = arg;
	lua_pushlstring(L, key, key_size);
	lua_pushlstring(L, value, value_size);
	lua_rawset(L, -3);
}

static void push_tags(lua_State *L, const struct query *q)
{
	lua_newtable(L);
	sql_tags(q->sql, q->sql_size, q->standard_strings, add_tag, L);
}

/* Pushes the list that was made earlier in this call, or makes it. */
static void push_once(lua_State *L, struct query_handle *h, int slot)
{
	const struct facts *facts = h->query->facts;
	if (h->made & 1u << slot) {
		lua_getiuservalue(L, lua_upvalueindex(UP_HANDLE), slot);
		return;
	}
	if (slot == USER_TABLES)
		push_list(L, facts->tables, facts->table_count);
	else if (slot == USER_FUNCTIONS)
		push_list(L, facts->functions, facts->function_count);
	else
		push_tags(L, h->query);
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, lua_upvalueindex(UP_HANDLE), slot);
	h->made |= 1u << slot;
}

static void push_fingerprint(lua_State *L, uint64_t fingerprint)
{
	char text[17];
	snprintf(text, sizeof text, "%016" PRIx64, fingerprint);
	lua_pushstring(L, text);
}

struct query_handle *query_current(lua_State *L)
{
	struct query_handle *h = lua_touserdata(L, lua_upvalueindex(UP_HANDLE));
	if (!h->query)
		luaL_error(L, "a query can be read only while the policy is being asked about it");
	return h;
}

static int push_intent(lua_State *L, const struct facts *facts)
{
	lua_pushvalue(L, lua_upvalueindex(facts->intent == INTENT_READ ? UP_READ : UP_WRITE));
	return 1;
}

/* What stands in that user value, or nil. */
static void push_if(lua_State *L, bool there, int slot)
{
	if (there)
		lua_getiuservalue(L, lua_upvalueindex(UP_HANDLE), slot);
	else
		lua_pushnil(L);
}

static int query_index(lua_State *L)
{
	struct query_handle *h = query_current(L);
	const struct query *q = h->query;
	if (lua_rawequal(L, 2, lua_upvalueindex(UP_INTENT))) /* what every policy asks first */
		return push_intent(L, q->facts);
	switch ((enum field)field_number(L, UP_FIELDS)) {
	case FIELD_INTENT:
		return push_intent(L, q->facts);
	case FIELD_KIND:
		lua_pushstring(L, sql_kind_name(q->facts->kind));
		break;
	case FIELD_SQL:
		lua_pushlstring(L, q->sql, q->sql_size);
		break;
	case FIELD_FINGERPRINT:
		push_fingerprint(L, q->facts->fingerprint);
		break;
	case FIELD_TABLES:
		push_once(L, h, USER_TABLES);
		break;
	case FIELD_FUNCTIONS:
		push_once(L, h, USER_FUNCTIONS);
		break;
	case FIELD_TAGS:
		push_once(L, h, USER_TAGS);
		break;
	case FIELD_IN_TRANSACTION:
		lua_pushboolean(L, q->in_transaction);
		break;
	case FIELD_SESSION:
		lua_getiuservalue(L, lua_upvalueindex(UP_HANDLE), USER_SESSION);
		break;
	case FIELD_PARAMETERS:
		lua_pushinteger(L, q->parameters);
		break;
	case FIELD_KEY:
		push_if(L, h->made & 1u << USER_KEY, USER_KEY);
		break;
	case FIELD_TRANSACTION:
		push_if(L, q->transaction != NULL, USER_TRANSACTION);
		break;
	case FIELD_WRITES:
		lua_pushboolean(L, q->writes);
		break;
	case FIELD_BOUND:
		lua_pushboolean(L, q->bound);
		break;
	case FIELD_STATS:
		lua_getiuservalue(L, lua_upvalueindex(UP_HANDLE), USER_STATS);
		break;
	case FIELD_NONE:
		return field_unknown(L, "query", field_names, COUNT(field_names));
	}
	return 1;
}

int query_read_only(lua_State *L)
{
	return luaL_error(L, "a query is read-only, but for query.key; query.session.vars is the "
	                     "place for notes");
}

/* query.key = what the scope "key" goes by: a string, a number or nil. */
static int query_newindex(lua_State *L)
{
	struct query_handle *h = query_current(L);
	uint64_t key = 0;
	size_t size;
	if (field_number(L, UP_FIELDS) != FIELD_KEY)
		return query_read_only(L);
	if (!lua_isnil(L, 3)) {
		if (lua_type(L, 3) != LUA_TSTRING && lua_type(L, 3) != LUA_TNUMBER)
			return luaL_error(L, "query.key must be a string or a number, not a %s",
			                  luaL_typename(L, 3));
		const char *text = lua_tolstring(L, 3, &size);
		key = scope_key(text, size);
	}
	if (h->query->key)
		*h->query->key = key;
	lua_settop(L, 3);
	lua_setiuservalue(L, lua_upvalueindex(UP_HANDLE), USER_KEY);
	h->made |= 1u << USER_KEY;
	return 0;
}

static void push_function(lua_State *L, int handle, lua_CFunction function,
                          const char *const *names, size_t count)
{
	lua_pushvalue(L, handle);
	field_numbers(L, names, count);
	lua_pushliteral(L, "intent");
	lua_pushliteral(L, "read");
	lua_pushliteral(L, "write");
	lua_pushcclosure(L, function, UP_COUNT);
}

void query_view(lua_State *L, int handle, const char *name, lua_CFunction index,
                lua_CFunction newindex, const char *const *names, size_t count)
{
	lua_createtable(L, 0, 4);
	push_function(L, handle, index, names, count);
	lua_setfield(L, -2, "__index");
	push_function(L, handle, newindex, names, count);
	lua_setfield(L, -2, "__newindex");
	lua_pushstring(L, name);
	lua_setfield(L, -2, "__name");
	lua_pushboolean(L, false);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
}

struct query_handle *query_handle_new(lua_State *L, int cluster)
{
	struct query_handle *h = lua_newuserdatauv(L, sizeof *h, USER_VALUES);
	int handle = lua_gettop(L);
	*h = (struct query_handle){0};
	query_view(L, handle, "moongate.query", query_index, query_newindex, field_names,
	           COUNT(field_names));
	lua_pushvalue(L, cluster);
	lua_setiuservalue(L, handle, USER_CLUSTER);
	query_open_session(L, handle);
	query_open_transaction(L, handle);
	push_query_stats(L, handle, lua_touserdata(L, cluster));
	lua_setiuservalue(L, handle, USER_STATS);
	return h;
}

const struct query *query_handle_begin(struct query_handle *h, const struct query *query)
{
	const struct query *outer = h->query;
	h->query = query;
	h->made = 0;
	return outer;
}

void query_handle_resume(struct query_handle *h, const struct query *query)
{
	h->query = query;
	h->made = 0;
}

void query_handle_end(struct query_handle *h)
{
	h->query = NULL;
}

const struct query *query_handle_query(const struct query_handle *h)
{
	return h->query;
}

bool query_handle_busy(const struct query_handle *h)
{
	return h->query != NULL;
}
