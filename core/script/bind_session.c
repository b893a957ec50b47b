/* bind_session.c - query.session: who asks, and its `vars`, which live as long as the session. */
/* SPDX-License-Identifier: MIT */
#include "script/query_handle.h"

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
	struct session_facts *session = query_current(L)->query->session;
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

void query_open_session(lua_State *L, int handle)
{
	lua_newtable(L);
	lua_setiuservalue(L, handle, USER_VARS);
	lua_newuserdatauv(L, 0, 0);
	query_view(L, handle, "moongate.session", session_index, query_read_only, session_names,
	           COUNT(session_names));
	lua_setiuservalue(L, handle, USER_SESSION);
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
