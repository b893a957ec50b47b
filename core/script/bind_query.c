/* bind_query.c - `query`, what a policy is called with: one userdata, used for every question.
 *
 * Its fields are made when they are read. Reading it between calls raises; a policy that keeps it
 * finds the query of the call that it is in, as in its argument. */
/* SPDX-License-Identifier: MIT */
#include "cluster/scopes.h"
#include "script/handles.h"
#include "sql/tags.h"

#include <inttypes.h>
#include <stdio.h>

/* User values of the query's userdata. Those of a list are kept for the rest of the call. */
enum {
	USER_VARS = 1,
	USER_TABLES,
	USER_FUNCTIONS,
	USER_TAGS,
	USER_SESSION,
	USER_KEY,
	USER_STATS,
	USER_VALUES = 7
};

/* Upvalues of its __index. */
enum { UP_HANDLE = 1, UP_FIELDS, UP_INTENT, UP_READ, UP_WRITE, UP_COUNT = 5 };

struct query_handle {
	const struct query *query; /* NULL: nothing is being asked */
	unsigned made;             /* a bit per list that was made in this call */
};

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
	FIELD_STATS,
};

static const char *const field_names[] = {
        [FIELD_INTENT] = "intent",   [FIELD_KIND] = "kind",
        [FIELD_SQL] = "sql",         [FIELD_FINGERPRINT] = "fingerprint",
        [FIELD_TABLES] = "tables",   [FIELD_FUNCTIONS] = "functions",
        [FIELD_TAGS] = "tags",       [FIELD_IN_TRANSACTION] = "in_transaction",
        [FIELD_SESSION] = "session", [FIELD_PARAMETERS] = "parameters",
        [FIELD_KEY] = "key",         [FIELD_STATS] = "stats",
};

enum session_field {
	SESSION_NONE,
	SESSION_USER,
	SESSION_DATABASE,
	SESSION_APP,
	SESSION_ADDRESS,
	SESSION_VARS
};

static const char *const session_names[] = {
        [SESSION_USER] = "user",
        [SESSION_DATABASE] = "database",
        [SESSION_APP] = "application_name",
        [SESSION_ADDRESS] = "address",
        [SESSION_VARS] = "vars",
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

static struct query_handle *current(lua_State *L)
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

static int query_index(lua_State *L)
{
	struct query_handle *h = current(L);
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
		if (h->made & 1u << USER_KEY)
			lua_getiuservalue(L, lua_upvalueindex(UP_HANDLE), USER_KEY);
		else
			lua_pushnil(L);
		break;
	case FIELD_STATS:
		lua_getiuservalue(L, lua_upvalueindex(UP_HANDLE), USER_STATS);
		break;
	case FIELD_NONE:
		return field_unknown(L, "query", field_names, COUNT(field_names));
	}
	return 1;
}

static void push_vars(lua_State *L, struct session_facts *session)
{
	lua_getiuservalue(L, lua_upvalueindex(UP_HANDLE), USER_VARS);
	int all = lua_gettop(L);
	if (session->vars == 0) {
		lua_newtable(L);
		session->vars = luaL_ref(L, all);
	}
	lua_rawgeti(L, all, session->vars);
}

static int session_index(lua_State *L)
{
	struct session_facts *session = current(L)->query->session;
	switch ((enum session_field)field_number(L, UP_FIELDS)) {
	case SESSION_USER:
		lua_pushstring(L, session->user);
		break;
	case SESSION_DATABASE:
		lua_pushstring(L, session->database);
		break;
	case SESSION_APP:
		lua_pushstring(L, session->application_name);
		break;
	case SESSION_ADDRESS:
		lua_pushstring(L, session->address);
		break;
	case SESSION_VARS:
		push_vars(L, session);
		break;
	case SESSION_NONE:
		return field_unknown(L, "query.session", session_names, COUNT(session_names));
	}
	return 1;
}

static int read_only(lua_State *L)
{
	return luaL_error(L, "a query is read-only, but for query.key; query.session.vars is the "
	                     "place for notes");
}

/* query.key = what the scope "key" goes by: a string, a number or nil. */
static int query_newindex(lua_State *L)
{
	struct query_handle *h = current(L);
	uint64_t key = 0;
	size_t size;
	if (field_number(L, UP_FIELDS) != FIELD_KEY)
		return read_only(L);
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

/* Gives the userdata on top a metatable of its own, whose functions know the query's userdata. */
static void set_index(lua_State *L, int handle, const char *name, lua_CFunction index,
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

struct query_handle *query_handle_new(lua_State *L, const struct cluster_handle *owner)
{
	struct query_handle *h = lua_newuserdatauv(L, sizeof *h, USER_VALUES);
	int handle = lua_gettop(L);
	*h = (struct query_handle){0};
	set_index(L, handle, "moongate.query", query_index, query_newindex, field_names,
	          COUNT(field_names));
	lua_newtable(L);
	lua_setiuservalue(L, handle, USER_VARS);
	lua_newuserdatauv(L, 0, 0);
	set_index(L, handle, "moongate.session", session_index, read_only, session_names,
	          COUNT(session_names));
	lua_setiuservalue(L, handle, USER_SESSION);
	push_query_stats(L, handle, owner);
	lua_setiuservalue(L, handle, USER_STATS);
	return h;
}

void query_handle_begin(struct query_handle *h, const struct query *query)
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

void query_handle_drop_vars(lua_State *L, int vars)
{
	lua_getiuservalue(L, -1, USER_VARS);
	luaL_unref(L, -1, vars);
	lua_pop(L, 1);
}

static bool is_plain(lua_State *L, int index)
{
	int type = lua_type(L, index);
	return type == LUA_TSTRING || type == LUA_TNUMBER || type == LUA_TBOOLEAN;
}

static void push_plain(lua_State *L, lua_State *from, int index)
{
	size_t size;
	if (lua_type(from, index) == LUA_TSTRING) {
		const char *text = lua_tolstring(from, index, &size);
		lua_pushlstring(L, text, size);
	} else if (lua_type(from, index) == LUA_TBOOLEAN) {
		lua_pushboolean(L, lua_toboolean(from, index));
	} else if (lua_isinteger(from, index)) {
		lua_pushinteger(L, lua_tointeger(from, index));
	} else {
		lua_pushnumber(L, lua_tonumber(from, index));
	}
}

int query_handle_copy_vars(lua_State *L, lua_State *from, int vars)
{
	int before = lua_gettop(from);
	lua_getiuservalue(L, -1, USER_VARS);
	lua_newtable(L);
	lua_getiuservalue(from, -1, USER_VARS);
	lua_rawgeti(from, -1, vars);
	for (lua_pushnil(from); lua_next(from, before + 2); lua_pop(from, 1)) {
		if (!is_plain(from, -2) || !is_plain(from, -1))
			continue;
		push_plain(L, from, -2);
		push_plain(L, from, -1);
		lua_rawset(L, -3);
	}
	lua_settop(from, before);
	return luaL_ref(L, -2);
}
