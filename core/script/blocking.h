/* blocking.h - an operation that the calling Lua thread waits for: the loop runs until it is done.
 */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_BLOCKING_H
#define MOONGATE_SCRIPT_BLOCKING_H

#include "script/handles.h"
#include "script/operation.h"

#define BLOCKING_HANDLE "moongate.operation"

/* Lies on the stack as a to-be-closed value: whatever raises meanwhile, the operation ends. */
struct blocking {
	struct state *state; /* NULL: ended */
	bool done;
	struct operation op;
};

/* Pushes it, after state_enter(). */
struct blocking *blocking_begin(lua_State *L, struct state *state, const char *what);

/* The same for an operation of this cluster's, which may borrow a server. */
struct blocking *blocking_begin_on(lua_State *L, const struct cluster_handle *cluster,
                                   const char *what);

/* The callback for an operation inside of one. */
void blocking_done(struct operation *op);

/* Runs the loop until blocking_done(). Ctrl-C raises out of it, as it does out of Lua code. */
void blocking_wait(lua_State *L, struct blocking *blocking);

/* One turn of the loop; the same for what is waited for otherwise. */
void blocking_turn(lua_State *L, const struct blocking *blocking);

/* Makes the metatable. */
void open_blocking(lua_State *L);

#endif
