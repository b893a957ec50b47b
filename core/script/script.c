/* script.c - see script.h.
 *
 * All that may raise runs inside of one protected call; outside of it Lua is only asked what takes
 * no memory. */
/* SPDX-License-Identifier: MIT */
#include "script/script.h"

#include "script/examples.h"
#include "script/handles.h"
#include "script/hooks.h"
#include "script/memory.h"
#include "script/sandbox.h"
#include "script/shadow_lua.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MEMORY    ((size_t)64 << 20)
#define LOAD_INSTRUCTIONS 100000000 /* a second or so */

struct script {
	struct memory memory;
	lua_State *L;
	struct state *state; /* in it; NULL: not made yet */
	char *listen, *admin;
	bool log_queries;
	struct script_cluster *clusters; /* the database's names are owned */
	size_t count;
};

struct loading {
	struct script *script;
	struct context *context;
	const char *path, *lua_path;
};

static const char right_form[] =
        "a routing script ends with: "
        "return moongate.router { listen = \"127.0.0.1:6432\", cluster = cluster }";

static int by_name(const void *a, const void *b)
{
	const struct script_cluster *left = a, *right = b;
	return strcmp(left->database, right->database);
}

static char *copy_string(lua_State *L, int index)
{
	char *copy = strdup(lua_tostring(L, index));
	if (!copy)
		luaL_error(L, "not enough memory");
	return copy;
}

/* The database's name and the cluster's userdata are the two topmost values. */
static void add_cluster(lua_State *L, struct script *s)
{
	struct cluster_handle *h = check_cluster(L, -1);
	struct script_cluster *c = &s->clusters[s->count];
	c->database = copy_string(L, -2);
	s->count++;
	c->cluster = h->cluster;
	c->policy = &h->policy;
	c->shadow = h->shadow;
	if (strcmp(c->database, "*") != 0)
		h->cluster->name = c->database;
}

static size_t count_entries(lua_State *L, int table)
{
	size_t count = 0;
	for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
		count++;
	return count;
}

/* Reads the router handle on top of the stack, and keeps it, with all that hangs on it. */
static void take_router(lua_State *L, struct script *s)
{
	int router = lua_gettop(L);
	lua_getiuservalue(L, router, ROUTER_LISTEN);
	s->listen = copy_string(L, -1);
	if (lua_getiuservalue(L, router, ROUTER_ADMIN) != LUA_TNIL)
		s->admin = copy_string(L, -1);
	lua_getiuservalue(L, router, ROUTER_LOG_QUERIES);
	s->log_queries = lua_toboolean(L, -1);
	lua_getiuservalue(L, router, ROUTER_CLUSTERS);
	int clusters = lua_gettop(L);
	s->clusters = calloc(count_entries(L, clusters) + 1, sizeof *s->clusters);
	if (!s->clusters)
		luaL_error(L, "not enough memory");
	for (lua_pushnil(L); lua_next(L, clusters); lua_pop(L, 1))
		add_cluster(L, s);
	qsort(s->clusters, s->count, sizeof *s->clusters, by_name);
	lua_pushvalue(L, router);
	luaL_ref(L, LUA_REGISTRYINDEX);
	lua_settop(L, clusters);
}

/* Pushes a policy's function and query handle from the cluster on top of the stack, which stays
 * above them. */
static int push_policy(lua_State *L, const struct script *s, struct policy *p, int pushed,
                       int function)
{
	if (!p || !p->handle)
		return 0;
	luaL_checkstack(L, 3, NULL);
	lua_getiuservalue(L, -1, function);
	lua_getiuservalue(L, -2, function + 1);
	lua_rotate(L, -3, 2);
	policy_anchor(p, s->L, 1 + pushed);
	return 2;
}

/* Those of each cluster, from the table of clusters on top of the stack; as results of the
 * protected call they come to stand at the bottom of the state's own stack. */
static int push_policies(lua_State *L, const struct script *s)
{
	int clusters = lua_gettop(L), pushed = 0;
	for (size_t i = 0; i < s->count; i++) {
		struct shadow *shadow = s->clusters[i].shadow;
		lua_getfield(L, clusters, s->clusters[i].database);
		pushed += push_policy(L, s, s->clusters[i].policy, pushed, CLUSTER_POLICY);
		pushed += push_policy(L, s, shadow ? &shadow->policy : NULL, pushed,
		                      CLUSTER_SHADOW_POLICY);
		lua_pop(L, 1);
	}
	return pushed;
}

/* The table of clusters is on top of the stack, and stays. */
static void try_policies(lua_State *L, const struct loading *loading)
{
	const struct script *s = loading->script;
	char wrong[512];
	for (size_t i = 0; i < s->count; i++) {
		const char *database = s->clusters[i].database;
		bool others = strcmp(database, "*") == 0;
		lua_getfield(L, -1, database);
		if (!examples_run(L, lua_gettop(L), wrong, sizeof wrong))
			luaL_error(L, "%s: %s%s%s%s", loading->path, others ? "" : "database ",
			           others ? "" : database, others ? "" : ": ", wrong);
		lua_pop(L, 1);
	}
}

/* Calls the chunk on top, fenced, and leaves what it returns, or raises. */
static void run_chunk(lua_State *L, struct state *state)
{
	static const struct fence_limits limits = {.instructions = LOAD_INSTRUCTIONS,
	                                           .bytes = MEMORY_UNLIMITED,
	                                           .string = MEMORY_UNLIMITED};
	struct fence_saved saved;
	state->loading = true;
	fence_enter(L, &state->fence, &limits, &saved);
	int failed = lua_pcall(L, 0, 1, 0);
	fence_leave(L, &state->fence, &saved);
	state->loading = false;
	if (state->fence.why == FENCE_MEMORY)
		luaL_error(L, "not enough memory");
	if (state->fence.expired)
		luaL_error(L, "%s: the script used up its %d instructions while it was loaded",
		           state->fence.where, LOAD_INSTRUCTIONS);
	if (failed)
		lua_error(L);
}

static const char *type_of(lua_State *L, int index)
{
	if (luaL_getmetafield(L, index, "__name") == LUA_TSTRING)
		return lua_tostring(L, -1);
	return luaL_typename(L, index);
}

/* Pushes where `require` looks: beside the script first. */
static const char *push_lua_path(lua_State *L, const struct loading *loading)
{
	const char *slash = strrchr(loading->path, '/');
	const char *others = loading->lua_path ? loading->lua_path : "";
	if (!slash)
		return lua_pushfstring(L, "./?.lua;./?/init.lua;%s", others);
	lua_pushlstring(L, loading->path, (size_t)(slash - loading->path));
	const char *folder = lua_tostring(L, -1);
	return lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s", folder, folder, others);
}

static int load_protected(lua_State *L)
{
	const struct loading *loading = lua_touserdata(L, 1);
	struct state *state = state_new(L, loading->context);
	sandbox_open(L, push_lua_path(L, loading));
	fence_own(loading->script->L, &state->fence, &loading->script->memory);
	fence_own(state->thread, &state->fence, &loading->script->memory);
	loading->script->state = state;
	if (luaL_loadfilex(L, loading->path, "t") != LUA_OK)
		return lua_error(L);
	run_chunk(L, state);
	if (!luaL_testudata(L, -1, ROUTER_HANDLE))
		return luaL_error(L, "%s: it returned a %s; %s", loading->path, type_of(L, -1),
		                  right_form);
	sandbox_freeze(L);
	take_router(L, loading->script);
	try_policies(L, loading);
	return push_policies(L, loading->script);
}

/* Converts nothing: the error may be any value, and memory may be short. */
static void describe(lua_State *L, const char *path, const struct memory *memory, char *error,
                     size_t error_size)
{
	const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
	if (!message)
		snprintf(error, error_size, "%s: the error is a %s, not a message", path,
		         lua_typename(L, lua_type(L, -1)));
	else if (strcmp(message, "not enough memory") == 0)
		snprintf(error, error_size, "%s: %s: its cap is %zu bytes", path, message,
		         memory->limit);
	else
		snprintf(error, error_size, "%s", message);
}

struct script *script_load(struct context *context, const char *path,
                           const struct script_options *options, char *error, size_t error_size)
{
	struct script *s = calloc(1, sizeof *s);
	if (!s)
		goto no_memory;
	memory_init(&s->memory, options->memory ? options->memory : DEFAULT_MEMORY);
	s->L = lua_newstate(memory_allocate, &s->memory);
	if (!s->L)
		goto no_memory;
	struct loading loading = {s, context, path, options->lua_path};
	lua_pushcfunction(s->L, load_protected);
	lua_pushlightuserdata(s->L, &loading);
	if (lua_pcall(s->L, 1, LUA_MULTRET, 0) == LUA_OK && lua_checkstack(s->L, LUA_MINSTACK))
		return s;
	describe(s->L, path, &s->memory, error, error_size);
	script_free(s);
	return NULL;
no_memory:
	snprintf(error, error_size, "%s: not enough memory", path);
	script_free(s);
	return NULL;
}

void script_free(struct script *s)
{
	if (!s)
		return;
	if (s->L)
		lua_close(s->L); /* the clusters go here; they may still name themselves */
	for (size_t i = 0; i < s->count; i++)
		free((char *)s->clusters[i].database);
	free(s->clusters);
	free(s->listen);
	free(s->admin);
	free(s);
}

void script_start(struct script *s)
{
	timers_start(s->state);
	for (size_t i = 0; i < s->count; i++)
		cluster_start(s->clusters[i].cluster);
}

const char *script_listen(const struct script *s)
{
	return s->listen;
}

const char *script_admin(const struct script *s)
{
	return s->admin;
}

bool script_log_queries(const struct script *s)
{
	return s->log_queries;
}

size_t script_cluster_count(const struct script *s)
{
	return s->count;
}

const struct script_cluster *script_cluster_at(const struct script *s, size_t index)
{
	return &s->clusters[index];
}

struct cluster *script_take_cluster(struct script *s, size_t index)
{
	struct script_cluster *c = &s->clusters[index];
	struct cluster *cluster = c->cluster;
	news_stop(cluster);
	c->policy->owner->cluster = NULL;
	c->cluster = NULL;
	return cluster;
}

const struct script_cluster *script_cluster(const struct script *s, const char *database)
{
	const struct script_cluster *others = NULL;
	for (size_t i = 0; i < s->count; i++) {
		if (strcmp(s->clusters[i].database, database) == 0)
			return &s->clusters[i];
		if (strcmp(s->clusters[i].database, "*") == 0)
			others = &s->clusters[i];
	}
	return others;
}
