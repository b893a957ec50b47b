/* bind_connection_query.c - connection:query(), connection:prepare(), connection:cancel(): what
 * runs on one borrowed server. */
/* SPDX-License-Identifier: MIT */
#include "script/call_options.h"
#include "script/connection.h"
#include "script/flow_handle.h"
#include "script/habit.h"
#include "script/misuse.h"
#include "script/on_error.h"
#include "script/parameters.h"
#include "script/prepare.h"

/* One connection:query(); the connection stands at 1 on the stack. */
struct query_call {
	struct blocking blocking;
	struct connection *c;
	bool may_commit, noted;
	bool unpins, changes;
	unsigned pins;
	struct error_subject subject;
	struct flow_handle *stream; /* that is to be returned, and where it stands; NULL: none */
	int stream_at;
};

static void note_write(struct query_call *call)
{
	if (call->may_commit && !call->noted)
		handle_wrote(call->c->owner, 0, NULL);
	call->noted = true;
}

/* It was given up: what had been sent may have been done. */
static void query_end(struct blocking *b)
{
	struct query_call *call = (struct query_call *)b;
	if (call->c->owner->cluster)
		note_write(call);
}

static int query_result(lua_State *L, struct query_call *call)
{
	struct operation *op = &call->blocking.op;
	if (!call->stream)
		return push_answer(L, op, call->c->owner, &call->subject.options);
	call->stream->writes = call->may_commit;
	call->stream->subject = call->subject;
	flow_handle_tells(L, call->stream_at, 2);
	call->stream->tables.any = true;
	return flow_handle_begun(L, call->stream_at, op);
}

static int query_done(lua_State *L, struct blocking *b)
{
	struct query_call *call = (struct query_call *)b;
	struct connection *c = call->c;
	if (!c->owner->cluster) /* closed meanwhile */
		return query_result(L, call);
	if (call->unpins && !*b->op.sqlstate)
		c->loan.pins = call->pins; /* DISCARD ALL has run: it fails inside of a block */
	if (call->changes)
		catalogs_stale(c->owner->catalog);
	if (*b->op.sqlstate)
		on_error_tell(L, c->owner, lua_tostring(L, 2), &call->subject, &b->op);
	note_write(call);
	if (c->loan.server)
		handle_read(c->owner, c->loan.server->endpoint);
	return query_result(L, call);
}

static int run(lua_State *L, struct query_call *call, struct exec_query *query,
               const struct call_options *options)
{
	struct connection *c = call->c;
	const struct facts *f = connection_facts(L, c, query->sql);
	call->subject = (struct error_subject){
	        .options = *options, .parameters = query->count, .bound = true};
	call->may_commit = connection_may_commit(c, f, call_writes(options, f));
	if (f->effects & (EFFECT_BEGIN | EFFECT_READ_WRITE))
		c->only_reads = f->effects & EFFECT_READ_ONLY;
	call->unpins = f->effects & EFFECT_UNPIN_ALL;
	call->changes = f->effects & EFFECT_DDL;
	call->pins = facts_pins_with_settings(f);
	c->loan.pins |= call->pins;
	query->text_only = c->owner->text_only;
	habit_prepare(&c->owner->habit, query, f->kind);
	const struct operation_statement statement = {
	        .query = *query,
	        .intent = call->may_commit ? INTENT_WRITE : INTENT_READ,
	        .fingerprint = f->fingerprint,
	        .kind = f->kind,
	        .forgets = facts_forget_prepared(f),
	        .timeout = options->timeout,
	};
	operation_run_on(&call->blocking.op, &c->loan, &statement, blocking_done);
	call->blocking.end = query_end;
	return blocking_await(L, &call->blocking, query_done);
}

static int ask_and_run(lua_State *L, struct exec_query *query, const struct call_options *options)
{
	struct connection *c = lua_touserdata(L, 1);
	struct flow_handle *stream = flow_handle_new(L, c->owner);
	struct query_call *call =
	        blocking_begin_sized(L, c->owner->state, sizeof *call, "connection:query");
	flow_handle_keep(L, stream);
	call->c = c;
	call->stream = stream;
	call->stream_at = lua_gettop(L) - 1;
	query->flow = stream ? &stream->flow : NULL;
	if (!c->loan.server)
		return connection_push_lost(L, c);
	const struct facts facts = call_facts(options, connection_facts(L, c, query->sql));
	struct verdict v = connection_ask(L, c, &facts, query);
	if (v.kind == VERDICT_REJECT) {
		push_failure(L, v.message, v.sqlstate, NULL);
		return connection_reject(L, c, &call->blocking);
	}
	const char *refused = answer_refuses(L, &facts);
	if (refused) {
		push_failure(L, refused, "0A000", NULL);
		return answer_failure(L);
	}
	return run(L, call, query, options);
}

/* connection:query(sql, ...), one, value, exec: see push_answer(). */
static int connection_query(lua_State *L)
{
	check_connection_for_query(L);
	const struct call_options options = take_call_options(L, 2);
	struct exec_query query = take_query(L, 2);
	return ask_and_run(L, &query, &options);
}

/* The same for what connection:prepare() has made, which stands at 1. */
static int connection_query_prepared(lua_State *L)
{
	uint64_t hash = prepared_unfold(L, CONNECTION_STATEMENT);
	check_connection_for_query(L);
	const struct call_options options = take_call_options(L, 2);
	struct exec_query query = take_prepared(L, 2, hash);
	return ask_and_run(L, &query, &options);
}

static int connection_prepare(lua_State *L)
{
	check_connection_for_query(L);
	return prepare_statement(L, CONNECTION_STATEMENT);
}

/* connection:cancel(): from another task; whether there was anything to cancel. */
static int connection_cancel(lua_State *L)
{
	struct connection *c = luaL_testudata(L, 1, CONNECTION_HANDLE);
	bool running = false;
	if (!c)
		misuse(L,
		       "a " CONNECTION_HANDLE " expected, got %s; call it as connection:cancel()",
		       luaL_typename(L, 1));
	if (c->owner->cluster)
		check_own(L, c->owner);
	if (c->loan.busy)
		LIST_EACH (&c->owner->state->waiting, link) {
			struct operation *op = &LIST_ENTRY(link, struct blocking, link)->op;
			if (op->loan == &c->loan)
				running = operation_cancel(op) || running;
		}
	if (c->loan.busy)
		running = flow_handles_cancel(c->owner->state, &c->loan) || running;
	lua_pushboolean(L, running);
	return 1;
}

void open_connection_query(lua_State *L)
{
	static const luaL_Reg methods[] = {
	        {"prepare", connection_prepare}, {"cancel", connection_cancel}, {NULL, NULL}};
	open_query_methods(L, connection_query);
	open_stream_methods(L, connection_query);
	luaL_setfuncs(L, methods, 0);
	open_prepared(L, -3, CONNECTION_STATEMENT, "connection_statement_methods",
	              connection_query_prepared);
}
