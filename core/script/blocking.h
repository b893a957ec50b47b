/* blocking.h - what the calling Lua thread waits for: an operation, or a condition.
 *
 * In a task (tasks.h) it yields until then, and in a coroutine of a foreign loop (foreign.h);
 * anywhere else the loop runs until then. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_BLOCKING_H
#define MOONGATE_SCRIPT_BLOCKING_H

#include "script/handles.h"
#include "script/operation.h"

#define BLOCKING_HANDLE "moongate.operation"

struct blocking;

/* What remains to be done of the C function that waited; its stack is as it was. Returns how many
 * results are on top. */
typedef int blocking_then_fn(lua_State *L, struct blocking *blocking);

/* Lies on the stack as a to-be-closed value: whatever raises meanwhile, whoever closes or forgets
 * the coroutine, the operation ends. May be the first member of what else has to be kept. */
struct blocking {
	struct state *state;     /* NULL: ended */
	struct context *context; /* on whose loop it waits */
	struct task *task;       /* that yields; NULL: the loop is run */
	struct list link;        /* in its state's `waiting` or `polled` */
	struct list answer;      /* in its state's `answered` */
	bool foreign;            /* it waits by a foreign loop */
	bool done, yielded;
	int top; /* of the stack, where it has yielded */
	blocking_then_fn *then;
	bool (*poll)(const struct blocking *); /* it is done; NULL: it is told of */
	void (*end)(struct blocking *);        /* runs as it ends, before the operation does;
	                                          it may be a finalizer. NULL: nothing to do */
	struct operation op;
};

/* Pushes it, after state_enter(). */
struct blocking *blocking_begin(lua_State *L, struct state *state, const char *what);

/* The same as part of something of `size` bytes, which are zero. Its user value 1 is free to keep
 * what it refers to alive. */
void *blocking_begin_sized(lua_State *L, struct state *state, size_t size, const char *what);

/* The same for what a cluster is to do, which was open. Raises, blaming the caller, where it is not
 * any more: whatever allocates may run an application's finalizer, and that may close it. */
void *blocking_begin_on(lua_State *L, const struct cluster_handle *cluster, size_t size,
                        const char *what);

/* Before an operation of this cluster's, which may borrow a server. */
void blocking_catch_up(const struct cluster_handle *cluster);

/* The callback for an operation inside of one; and for anything else. */
void blocking_done(struct operation *op);
void blocking_finish(struct blocking *blocking);

/* Goes on with `then` after blocking_finish(); a C function ends with it, by returning what it
 * returns. Ctrl-C raises out of it, as it does out of Lua code. */
int blocking_await(lua_State *L, struct blocking *blocking, blocking_then_fn *then);

/* The same, once `poll` says so; it is asked after each turn of the loop. */
int blocking_await_poll(lua_State *L, struct blocking *blocking,
                        bool (*poll)(const struct blocking *), blocking_then_fn *then);

/* Waits by running the loop, also in a task: the others stand still meanwhile. */
void blocking_wait(lua_State *L, struct blocking *blocking);

/* Asks those that wait for a condition, and tells notices, after a turn of the loop that nobody
 * here has run. */
void blocking_poll(struct state *state);

/* One turn of the loop, with libev's flags. Ctrl-C raises out of it. */
void blocking_turn(lua_State *L, struct state *state, int flags);

/* The cluster is about to be closed, or the loan to be ended (either may be NULL): what is under
 * way there fails with this. */
void blocking_abort(struct state *state, const struct cluster *cluster, const struct loan *loan,
                    const char *sqlstate, const char *message);

/* Makes the metatable. */
void open_blocking(lua_State *L);

#endif
