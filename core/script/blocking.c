/* blocking.c - see blocking.h. */
/* SPDX-License-Identifier: MIT */
#include "script/blocking.h"

#include "cluster/pool.h"
#include "script/foreign.h"
#include "script/misuse.h"
#include "script/on_notice.h"
#include "script/reclaim.h"

#include <string.h>

static int blocking_end(lua_State *L)
{
	struct blocking *b = luaL_checkudata(L, 1, BLOCKING_HANDLE);
	struct state *s = b->state;
	if (!s)
		return 0;
	list_remove(&b->link);
	foreign_end(b);
	if (b->end)
		b->end(b);
	b->state = NULL;
	operation_end(&b->op);
	blocking_finish(b); /* whoever closed a task's coroutine: the task is over then */
	state_leave(s);
	return 0;
}

void *blocking_begin_sized(lua_State *L, struct state *state, size_t size, const char *what)
{
	struct blocking *b = lua_newuserdatauv(L, size, 1);
	memset(b, 0, size);
	luaL_setmetatable(L, BLOCKING_HANDLE);
	state_enter(L, state, what);
	b->task = tasks_here(L, &state->tasks);
	list_push_back(&state->waiting, &b->link);
	list_init(&b->answer);
	b->state = state;
	b->context = state->context;
	lua_toclose(L, -1);
	return b;
}

struct blocking *blocking_begin(lua_State *L, struct state *state, const char *what)
{
	return blocking_begin_sized(L, state, sizeof(struct blocking), what);
}

void *blocking_begin_on(lua_State *L, const struct cluster_handle *h, size_t size, const char *what)
{
	void *b = blocking_begin_sized(L, h->state, size, what);
	if (!h->cluster)
		misuse(L, "the cluster is closed");
	return b;
}

/* Between two calls no timer runs; servers that have rested too long are closed all the same. */
void blocking_catch_up(const struct cluster_handle *h)
{
	if (h->state->tasks.running)
		return;
	for (size_t i = 0; i < h->cluster->endpoint_count; i++)
		pools_catch_up(h->cluster->endpoints[i]);
}

void blocking_finish(struct blocking *b)
{
	b->done = true;
	if (b->yielded)
		task_ready(b->task);
	b->yielded = false;
	foreign_answered(b);
}

void blocking_done(struct operation *op)
{
	blocking_finish(LIST_ENTRY(op, struct blocking, op));
}

static int nothing(lua_State *L)
{
	(void)L;
	return 0;
}

/* Lua's own handler of Ctrl-C sets a hook that raises at the next call: let there be one. */
static void let_hooks_run(lua_State *L)
{
	if (!(lua_gethookmask(L) & LUA_MASKCALL))
		return;
	lua_pushcfunction(L, nothing);
	lua_call(L, 0, 0);
}

void blocking_poll(struct state *s)
{
	on_notice_tell(s);
	LIST_EACH (&s->polled, link) {
		struct blocking *b = LIST_ENTRY(link, struct blocking, link);
		if (!b->done && b->poll(b))
			blocking_finish(b);
	}
	foreign_wake(s);
}

void blocking_turn(lua_State *L, struct state *s, int flags)
{
	ev_run(s->context->loop, flags);
	blocking_poll(s);
	let_hooks_run(L);
}

void blocking_wait(lua_State *L, struct blocking *b)
{
	while (!b->done) {
		state_check_own(L, b->context);
		blocking_turn(L, b->state, EVRUN_ONCE);
	}
}

static int on_resumed(lua_State *L, int status, lua_KContext context);

static int yield(lua_State *L, struct blocking *b)
{
	return lua_yieldk(L, 0, (lua_KContext)b, on_resumed);
}

/* An application may have got hold of the coroutine and resume it on its own: that is of no use. */
static int on_resumed(lua_State *L, int status, lua_KContext context)
{
	struct blocking *b = (struct blocking *)context;
	(void)status;
	lua_settop(L, b->top);
	if (!b->done || b->state->tasks.current != b->task)
		return yield(L, b);
	return b->then(L, b);
}

int blocking_await(lua_State *L, struct blocking *b, blocking_then_fn *then)
{
	b->then = then;
	reclaim(b);
	if (!b->task && !b->done && foreign_here(L))
		return foreign_await(L, b);
	if (!b->task)
		blocking_wait(L, b);
	if (b->done)
		return then(L, b);
	b->top = lua_gettop(L);
	b->yielded = true;
	b->task->waiting = b;
	return yield(L, b);
}

int blocking_await_poll(lua_State *L, struct blocking *b, bool (*poll)(const struct blocking *),
                        blocking_then_fn *then)
{
	b->poll = poll;
	b->done = poll(b);
	list_remove(&b->link);
	list_push_back(&b->state->polled, &b->link);
	return blocking_await(L, b, then);
}

void blocking_abort(struct state *s, const struct cluster *cluster, const struct loan *loan,
                    const char *sqlstate, const char *message)
{
	LIST_EACH (&s->waiting, link) {
		struct blocking *b = LIST_ENTRY(link, struct blocking, link);
		if (operation_abort(&b->op, cluster, loan, sqlstate, message))
			blocking_finish(b);
	}
	foreign_wake(s);
}

void open_blocking(lua_State *L)
{
	static const luaL_Reg metamethods[] = {
	        {"__gc", blocking_end}, {"__close", blocking_end}, {NULL, NULL}};
	handle_class(L, BLOCKING_HANDLE, metamethods, NULL);
	lua_pop(L, 1);
}
