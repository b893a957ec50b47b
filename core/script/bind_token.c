/* bind_token.c - cluster:token(), cluster:after(): what one session has written, for another to
 * see; and what a handle remembers of its reads and writes. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "cluster/scopes.h"
#include "script/blocking.h"
#include "script/misuse.h"

#include <math.h>

void handle_wrote(struct cluster_handle *h, uint64_t key, const struct tables *tables)
{
	const struct party who = {.key = key, .tables = tables};
	h->last_write = clock_now();
	cluster_wrote(h->cluster, &who, h->last_write);
}

void handle_read(struct cluster_handle *h, const struct endpoint *e)
{
	h->need.has_read = true;
	h->need.last_read = clock_now();
	h->need.reader = e->index;
	h->need.reader_incarnation = e->incarnation;
}

/* cluster:token(): the position of the last write, "" before the first; or nil, message, code. */
static int token(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	struct cluster *c = h->cluster;
	struct position position = {0};
	char text[POSITION_TEXT];
	struct blocking *b = blocking_begin(L, h->state, "cluster:token");
	double deadline = clock_now() + 2 * c->health.timeout;
	bool known = h->last_write == -INFINITY;
	if (!known)
		cluster_want(c, h->last_write);
	while (!known && !(known = cluster_position(c, h->last_write, &position))) {
		if (clock_now() >= deadline) {
			lua_pushnil(L);
			lua_pushliteral(L, "the primary has not told its position in time");
			lua_pushliteral(L, "57P03");
			return 3;
		}
		blocking_turn(L, b);
	}
	position_write(position, text);
	lua_pushstring(L, text);
	return 1;
}

/* cluster:after(token): reads from now on see what that stands for; nil or "" ends it. True, or
 * nil, message, code. */
static int after(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	char wrong[256];
	size_t size;
	const char *text = luaL_optlstring(L, 2, "", &size);
	if (!need_set_after(&h->need, text, size, wrong, sizeof wrong)) {
		lua_pushnil(L);
		lua_pushstring(L, wrong);
		lua_pushliteral(L, "22023");
		return 3;
	}
	lua_pushboolean(L, true);
	return 1;
}

void open_token(lua_State *L)
{
	static const luaL_Reg methods[] = {{"token", token}, {"after", after}, {NULL, NULL}};
	lua_getfield(L, -1, "cluster_methods");
	luaL_setfuncs(L, methods, 0);
	lua_pop(L, 1);
}
