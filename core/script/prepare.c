/* prepare.c - see prepare.h. */
/* SPDX-License-Identifier: MIT */
#include "script/prepare.h"

#include "cluster/prepared.h"
#include "script/answer.h"
#include "script/handles.h"
#include "script/misuse.h"
#include "script/parameters.h"

#define STAND_INS "moongate.stand_ins"

/* User values 1 and 2: the owner, and the SQL. */
struct statement {
	uint64_t hash;
};

int prepare_statement(lua_State *L, const char *class)
{
	size_t size;
	check_sql(L, 2);
	const char *sql = lua_tolstring(L, 2, &size);
	struct statement *s = lua_newuserdatauv(L, sizeof *s, 2);
	s->hash = prepared_hash(sql, size);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	lua_pushvalue(L, 2);
	lua_setiuservalue(L, -2, 2);
	luaL_setmetatable(L, class);
	return 1;
}

uint64_t prepared_unfold(lua_State *L, const char *class)
{
	const struct statement *s = luaL_testudata(L, 1, class);
	if (!s)
		misuse(L,
		       "a prepared statement expected, got %s; its methods are called as "
		       "statement:method()",
		       luaL_typename(L, 1));
	uint64_t hash = s->hash;
	lua_getiuservalue(L, 1, 2);
	lua_insert(L, 2);
	lua_getiuservalue(L, 1, 1);
	lua_replace(L, 1);
	return hash;
}

/* Pushes the table from objects to what they stand for, as long as they are there. */
static void push_stand_ins(lua_State *L)
{
	if (luaL_getsubtable(L, LUA_REGISTRYINDEX, STAND_INS))
		return;
	lua_createtable(L, 0, 1);
	lua_pushliteral(L, "k");
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
}

static int stands_for(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	push_stand_ins(L);
	lua_insert(L, 1);
	lua_rawset(L, 1);
	return 0;
}

/* Replaces it by that. */
static void resolve(lua_State *L, int index)
{
	int top = lua_gettop(L);
	if (!lua_istable(L, index))
		return;
	push_stand_ins(L);
	lua_pushvalue(L, index);
	if (lua_rawget(L, -2) != LUA_TNIL)
		lua_replace(L, index);
	lua_settop(L, top);
}

uint64_t prepared_replace(lua_State *L, int index)
{
	resolve(L, index);
	const struct statement *s = luaL_testudata(L, index, CLUSTER_STATEMENT);
	if (!s)
		s = luaL_testudata(L, index, CONNECTION_STATEMENT);
	if (!s)
		return 0;
	uint64_t hash = s->hash;
	lua_getiuservalue(L, index, 2);
	lua_replace(L, index);
	return hash;
}

void open_prepare(lua_State *L)
{
	static const luaL_Reg functions[] = {{"stands_for", stands_for}, {NULL, NULL}};
	luaL_setfuncs(L, functions, 0);
}

struct exec_query take_prepared(lua_State *L, int sql, uint64_t hash)
{
	struct exec_query query = take_query(L, sql);
	query.prepared = hash;
	if (query.count < 0)
		query.count = 0;
	return query;
}

void open_prepared(lua_State *L, int core, const char *class, const char *methods,
                   lua_CFunction query)
{
	static const luaL_Reg none[] = {{NULL, NULL}};
	core = lua_absindex(L, core);
	handle_class(L, class, none, none);
	lua_getfield(L, -1, "__index");
	open_query_methods(L, query);
	open_rows_method(L, query);
	lua_setfield(L, core, methods);
	lua_pop(L, 1);
}
