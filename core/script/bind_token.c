/* bind_token.c - cluster:token(), cluster:after(): what one session has written, for another to
 * see; and what a handle remembers of its reads and writes. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "cluster/scopes.h"
#include "script/answer.h"
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

/* cluster:token() under way. */
struct token_call {
	struct blocking blocking;
	const struct cluster_handle *h;
	double last_write, deadline;
};

static bool position_known(const struct token_call *call, struct position *position)
{
	const struct cluster *c = call->h->cluster;
	return c &&
	       (call->last_write == -INFINITY || cluster_position(c, call->last_write, position));
}

static bool token_ready(const struct blocking *b)
{
	const struct token_call *call = (const struct token_call *)b;
	struct position position;
	return !call->h->cluster || clock_now() >= call->deadline ||
	       position_known(call, &position);
}

static int push_token(lua_State *L, struct blocking *b)
{
	const struct token_call *call = (const struct token_call *)b;
	struct position position = {0};
	char text[POSITION_TEXT];
	if (!position_known(call, &position)) {
		bool closed = !call->h->cluster;
		return push_failure(L,
		                    closed ? "the cluster was closed"
		                           : "the primary has not told its position in time",
		                    closed ? "57P01" : "57P03", NULL);
	}
	position_write(position, text);
	lua_pushstring(L, text);
	return 1;
}

/* cluster:token(): the position of the last write, "" before the first; or nil, message, code,
 * fields. */
static int token(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	struct token_call *call = blocking_begin_on(L, h, sizeof *call, "cluster:token");
	call->h = h;
	call->last_write = h->last_write;
	call->deadline = clock_now() + 2 * h->cluster->health.timeout;
	if (h->last_write > -INFINITY)
		cluster_want(h->cluster, h->last_write);
	return blocking_await_poll(L, &call->blocking, token_ready, push_token);
}

/* cluster:after(token): reads from now on see what that stands for; nil or "" ends it. True, or
 * nil, message, code, fields. */
static int after(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	char wrong[256];
	size_t size;
	const char *text = luaL_optlstring(L, 2, "", &size);
	if (!need_set_after(&h->need, text, size, wrong, sizeof wrong))
		return push_failure(L, wrong, "22023", NULL);
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
