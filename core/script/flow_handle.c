/* flow_handle.c - see flow_handle.h. */
/* SPDX-License-Identifier: MIT */
#include "script/flow_handle.h"

#include "script/foreign.h"
#include "script/misuse.h"

#include <stdio.h>
#include <string.h>

static bool flow_of(enum shape shape, enum flow_kind *kind)
{
	switch (shape) {
	case SHAPE_STREAM:
		*kind = FLOW_ROWS;
		return true;
	case SHAPE_COPY_OUT:
		*kind = FLOW_COPY_OUT;
		return true;
	case SHAPE_COPY_IN:
		*kind = FLOW_COPY_IN;
		return true;
	default:
		return false;
	}
}

struct flow_handle *flow_handle_new(lua_State *L, struct cluster_handle *owner)
{
	enum flow_kind kind;
	if (!flow_of(answer_shape(L), &kind))
		return NULL;
	struct flow_handle *s = lua_newuserdatauv(L, sizeof *s, STREAM_COLUMNS);
	*s = (struct flow_handle){.owner = owner, .flow = {.kind = kind}};
	list_init(&s->link);
	luaL_setmetatable(L, kind == FLOW_COPY_IN ? COPY_HANDLE : STREAM_HANDLE);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	return s;
}

void flow_handle_keep(lua_State *L, const struct flow_handle *s)
{
	if (!s)
		return;
	lua_pushvalue(L, -2);
	lua_setiuservalue(L, -2, 1);
}

static void wake(struct flow_handle *s)
{
	struct blocking *b = s->waiter;
	s->waiter = NULL;
	if (b)
		blocking_finish(b);
}

static void on_stream(struct operation *op)
{
	wake(LIST_ENTRY(op, struct flow_handle, op));
}

/* What its method returns to a generic for: the iterator, and what is closed after the loop. */
static int push_iterator(lua_State *L, int index)
{
	lua_pushvalue(L, index);
	lua_pushnil(L);
	lua_pushnil(L);
	lua_pushvalue(L, index);
	return 4;
}

/* What it was could not be told from its text; a COPY of no rows never begins. */
static bool was_another(const struct flow_handle *s, const struct operation *op)
{
	if (s->flow.kind == FLOW_ROWS || op->begun)
		return false;
	return s->flow.kind == FLOW_COPY_IN || strncmp(PQcmdStatus(op->result), "COPY", 4) != 0;
}

/* Of rows that are lists, while the first of them wait, or all is over. */
static void keep_columns(lua_State *L, int index, const PGresult *rows)
{
	const struct flow_handle *s = lua_touserdata(L, index);
	if (!s->subject.options.as_list || s->flow.kind != FLOW_ROWS || PQnfields(rows) == 0)
		return;
	lua_createtable(L, 0, 2);
	set_columns(L, rows);
	lua_setiuservalue(L, index, STREAM_COLUMNS);
}

int flow_handle_begun(lua_State *L, int index, struct operation *op)
{
	struct flow_handle *s = lua_touserdata(L, index);
	bool copy_in = s->flow.kind == FLOW_COPY_IN;
	if (*op->sqlstate) {
		push_failure(L, op->message, op->sqlstate, op->result);
		return answer_failure(L);
	}
	keep_columns(L, index, op->begun ? s->flow.rows : op->result);
	if (op->begun) {
		operation_move(&s->op, op, on_stream);
		list_push_back(&s->owner->state->flows, &s->link);
	} else if (was_another(s, op)) {
		push_failure(L, "the statement was no such COPY", "0A000", NULL);
		return answer_failure(L);
	}
	if (!copy_in)
		return push_iterator(L, index);
	lua_pushvalue(L, index);
	return 1;
}

struct wait {
	struct blocking blocking;
	int at; /* on the stack */
	struct flow_handle *stream;
};

static void wait_end(struct blocking *b)
{
	struct flow_handle *s = ((struct wait *)b)->stream;
	if (s->waiter == b)
		s->waiter = NULL;
}

int flow_handle_await(lua_State *L, struct flow_handle *s, blocking_then_fn *then, const char *what)
{
	if (s->waiter)
		misuse(L, "%s: another task waits for it", what);
	if (s->owner->cluster)
		check_own(L, s->owner);
	struct wait *w = blocking_begin_sized(L, s->owner->state, sizeof *w, what);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	w->at = lua_gettop(L);
	w->stream = s;
	w->blocking.end = wait_end;
	s->waiter = &w->blocking;
	if (s->flow.server)
		flow_wait(&s->flow);
	else if (!flow_handle_is_under_way(s)) /* it was lost as the loop began to run */
		wake(s);
	return blocking_await(L, &w->blocking, then);
}

/* Not by lua_settop() alone: that of Lua 5.4.4 loses the stack where closing moves it. */
struct flow_handle *flow_handle_waited(lua_State *L, const struct blocking *b, int top)
{
	lua_closeslot(L, ((const struct wait *)b)->at);
	lua_settop(L, top);
	return lua_touserdata(L, 1);
}

bool flow_handle_is_under_way(const struct flow_handle *s)
{
	return s->op.cluster != NULL;
}

bool flow_handle_is_open(const struct flow_handle *s)
{
	return flow_handle_is_under_way(s) && context_is_own(s->op.cluster->context) && !s->waiter;
}

bool flow_handle_may_wait(lua_State *L)
{
	lua_Debug ar;
	return lua_getstack(L, 1, &ar);
}

void flow_handle_tells(lua_State *L, int index, int sql)
{
	struct flow_handle *s = lua_touserdata(L, index);
	s->sql = lua_tostring(L, sql);
	lua_pushvalue(L, sql);
	lua_setiuservalue(L, index, 3);
}

int flow_handle_push_failure(lua_State *L, struct flow_handle *s)
{
	const char *sql = s->closed ? NULL : s->sql;
	s->sql = NULL;
	if (sql && s->owner->cluster)
		on_error_tell(L, s->owner, sql, &s->subject, &s->op);
	return push_failure(L, s->op.message, s->op.sqlstate, s->op.result);
}

void flow_handle_over(struct flow_handle *s)
{
	list_remove(&s->link);
	if (s->writes && s->owner->cluster)
		handle_wrote(s->owner, s->subject.key, &s->tables);
	s->writes = false;
}

static void forget_rows(struct flow_handle *s)
{
	PQclear(s->rows);
	s->rows = NULL;
	s->row_count = s->row = 0;
}

void flow_handle_end(struct flow_handle *s)
{
	bool begun = !list_empty(&s->link);
	operation_end(&s->op);
	if (begun)
		flow_handle_over(s);
	forget_rows(s);
	s->closed = true;
	if (!s->waiter)
		return;
	snprintf(s->op.sqlstate, sizeof s->op.sqlstate, "57014");
	snprintf(s->op.message, sizeof s->op.message, "it was closed meanwhile");
	wake(s);
	foreign_wake(s->owner->state);
}

void flow_handles_abort(struct state *state, const struct cluster *cluster, const struct loan *loan,
                        const char *sqlstate, const char *message)
{
	LIST_EACH (&state->flows, link) {
		struct flow_handle *s = LIST_ENTRY(link, struct flow_handle, link);
		if (operation_abort(&s->op, cluster, loan, sqlstate, message))
			wake(s);
	}
}

bool flow_handles_cancel(struct state *state, const struct loan *loan)
{
	bool running = false;
	LIST_EACH (&state->flows, link) {
		struct operation *op = &LIST_ENTRY(link, struct flow_handle, link)->op;
		if (op->loan == loan)
			running = operation_cancel(op) || running;
	}
	return running;
}
