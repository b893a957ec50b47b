/* flow_handle.h - what rows(), copy_out() and copy_in() return: a statement that goes on while the
 * application takes its rows, or gives it data.
 *
 * A method that begins one waits until there is something to take. Then the operation moves from
 * the call to the stream, where it stays until its end. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_FLOW_HANDLE_H
#define MOONGATE_SCRIPT_FLOW_HANDLE_H

#include "cluster/scopes.h"
#include "script/answer.h"
#include "script/blocking.h"
#include "script/on_error.h"

#define STREAM_HANDLE  "moongate.stream" /* of rows, and of COPY TO */
#define COPY_HANDLE    "moongate.copy"   /* of COPY FROM */

#define STREAM_COLUMNS 4

/* User value 1: the cluster or connection that it came from; 2: what its plan refers to; 3: `sql`;
 * 4: what it tells of its columns, or nil. */
struct flow_handle {
	struct list link; /* in its state's streams */
	struct cluster_handle *owner;
	struct operation op;
	struct flow flow;
	struct blocking *waiter; /* for its next; NULL: nobody waits */
	bool closed;
	bool writes; /* what it has done counts as a write once it is over: */
	struct tables tables;
	const char *sql; /* that the policy hears of if it fails; NULL: it does not, any more */
	struct error_subject subject;
	PGresult *rows; /* some that were taken; `row` is the next of them */
	int row, row_count;
	struct row_plan plan;
	int plan_size;   /* values on the stack; 0: there is no plan yet */
	size_t data_put; /* bytes of the string that is being given */
};

/* For a query method whose object stands at 1 on the stack: pushes the stream that it is to return;
 * NULL: it returns another thing, and nothing is pushed. */
struct flow_handle *flow_handle_new(lua_State *L, struct cluster_handle *owner);

/* The stream, or NULL, is at the top of the stack but for the blocking of the call, which is on
 * top. */
void flow_handle_keep(lua_State *L, const struct flow_handle *stream);

/* What the method returns: the operation has begun, or is over already. The stream is at `index`.
 * Raises its failure, but returns that of copy_in(). */
int flow_handle_begun(lua_State *L, int index, struct operation *op);

/* Waits for the flow with `then`, whose stack has the stream at 1. `what` is for messages. */
int flow_handle_await(lua_State *L, struct flow_handle *s, blocking_then_fn *then,
                      const char *what);

/* For `then`: ends the wait, of which nothing must be left for another to begin. Leaves the first
 * `top` values on the stack; the stream. */
struct flow_handle *flow_handle_waited(lua_State *L, const struct blocking *blocking, int top);

/* It is not over. The flow may be, where a cancel request is still on its way. */
bool flow_handle_is_under_way(const struct flow_handle *s);

/* Whether there is anything to end yet, and nobody else waits for it. */
bool flow_handle_is_open(const struct flow_handle *s);

/* Whether a function that closes it may wait: not where a coroutine is closed from outside. */
bool flow_handle_may_wait(lua_State *L);

/* The policy is to hear of its failure; the stream is at `index`, its statement at `sql`. */
void flow_handle_tells(lua_State *L, int index, int sql);

/* It is over, and has failed: pushes that, as push_failure(). */
int flow_handle_push_failure(lua_State *L, struct flow_handle *s);

/* It is over: notes what it wrote. */
void flow_handle_over(struct flow_handle *s);

/* Ends it where it is. Fine at any time. */
void flow_handle_end(struct flow_handle *s);

/* As blocking_abort(). */
void flow_handles_abort(struct state *state, const struct cluster *cluster, const struct loan *loan,
                        const char *sqlstate, const char *message);

/* As operation_cancel(), for what is under way on this loan. */
bool flow_handles_cancel(struct state *state, const struct loan *loan);

/* Each makes a metatable. */
void open_stream(lua_State *L);
void open_copy(lua_State *L);

#endif
