/* bind_statement.c - cluster:query(), cluster:verdict(): what the embedded module does with a
 * cluster besides describing it. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "script/aim.h"
#include "script/flow_handle.h"
#include "script/habit.h"
#include "script/on_error.h"
#include "script/parameters.h"
#include "script/prepare.h"

#include <string.h>

static void learn(struct cluster_handle *h, struct classifier *classifier, const char *sql)
{
	classifier_learn_write(classifier, cluster_handle_catalog(h), sql, strlen(sql), true);
	catalogs_taught(h->catalog);
}

/* One cluster:query(); the cluster stands at 1 on the stack, the statement at 2. */
struct statement_call {
	struct blocking blocking;
	struct cluster_handle *h;
	struct aim aim;
	enum intent intent;
	struct error_subject subject; /* its key is the aim's */
	bool changes;                 /* the catalog */
	bool noted;                   /* what it may have written */
	struct flow_handle *stream;   /* that is to be returned, and where it stands; NULL: none */
	int stream_at;
};

static void note_write(struct statement_call *call)
{
	bool refused = call->blocking.op.refused_by_replica;
	if (call->noted || (call->intent != INTENT_WRITE && !refused))
		return;
	call->noted = true;
	handle_wrote(call->h, call->aim.key, refused ? NULL : &call->aim.tables);
}

/* It was given up: what had been sent may have been done. */
static void statement_end(struct blocking *b)
{
	struct statement_call *call = (struct statement_call *)b;
	if (b->op.since > 0 && call->h->cluster)
		note_write(call);
}

static int statement_result(lua_State *L, struct statement_call *call)
{
	struct operation *op = &call->blocking.op;
	struct flow_handle *s = call->stream;
	if (!s)
		return push_answer(L, op, call->h, &call->subject.options);
	s->writes = call->intent == INTENT_WRITE || op->refused_by_replica;
	s->subject = call->subject;
	flow_handle_tells(L, call->stream_at, 2);
	s->tables = call->aim.tables;
	s->tables.any = op->refused_by_replica;
	return flow_handle_begun(L, call->stream_at, op);
}

static int statement_done(lua_State *L, struct blocking *b)
{
	struct statement_call *call = (struct statement_call *)b;
	struct cluster_handle *h = call->h;
	const char *sql = lua_tostring(L, 2);
	if (!h->cluster) /* closed meanwhile */
		return statement_result(L, call);
	if (*b->op.sqlstate)
		on_error_tell(L, h, sql, &call->subject, &b->op);
	note_write(call);
	if (b->op.dispatch.endpoint)
		handle_read(h, b->op.dispatch.endpoint);
	if (b->op.refused_by_replica)
		learn(h, state_classifier(L, h->state), sql);
	if (call->changes)
		catalogs_stale(h->catalog);
	return statement_result(L, call);
}

static void statement_start(struct statement_call *call, struct exec_query *query,
                            struct operation_statement *statement)
{
	query->timeout = aim_timeout(&call->aim);
	query->text_only = call->h->text_only;
	habit_prepare(&call->h->habit, query, statement->kind);
	statement->to = aim_request(call->h, &call->aim);
	statement->query = *query;
	operation_start(&call->blocking.op, statement, blocking_done);
	call->blocking.end = statement_end;
}

static int fail(lua_State *L, const char *message, const char *sqlstate)
{
	push_failure(L, message, sqlstate, NULL);
	return answer_failure(L);
}

/* What was given stands in `query` and `options`; the stack is the cluster, the statement, and what
 * its parameters are. */
static int run(lua_State *L, struct exec_query *query, const struct call_options *options)
{
	struct cluster_handle *h = lua_touserdata(L, 1);
	struct flow_handle *stream = flow_handle_new(L, h);
	struct statement_call *call = blocking_begin_on(L, h, sizeof *call, "cluster:query");
	flow_handle_keep(L, stream);
	struct classifier *classifier = state_classifier(L, h->state);
	const struct facts *known = classifier_facts(classifier, cluster_handle_catalog(h),
	                                             query->sql, strlen(query->sql), true);
	const struct facts facts = call_facts(options, known);
	if (facts.function_count && facts.effects & EFFECT_MAY_PIN)
		catalogs_want(h->catalog); /* for its next call */
	struct operation_statement statement = {
	        .intent = call_writes(options, known) ? INTENT_WRITE : INTENT_READ,
	        .fingerprint = facts.fingerprint,
	        .kind = facts.kind,
	        .pins = facts_pins_with_settings(&facts),
	        .declared_read = options->has_intent && options->intent == INTENT_READ,
	        .forgets = facts_forget_prepared(&facts),
	        .timeout = options->timeout,
	};
	const char *refused = answer_refuses(L, known);
	char wrong[256];
	struct aim *aim = &call->aim;
	struct query q = aim_question(h, &facts, query->sql, query->count, &aim->key);
	call->h = h;
	call->stream = stream;
	call->stream_at = lua_gettop(L) - 1;
	query->flow = stream ? &stream->flow : NULL;
	call->intent = statement.intent;
	call->subject = (struct error_subject){.options = *options, .parameters = query->count};
	call->changes = facts.effects & EFFECT_DDL;
	aim->need = h->need;
	if (h->cluster->scopes & 1u << SCOPE_TABLE)
		tables_add(&aim->tables, &facts);
	blocking_catch_up(h);
	if (!need_of_tags(&aim->need, q.sql, q.sql_size, true, wrong, sizeof wrong))
		return fail(L, wrong, "22023");
	aim->verdict = cluster_handle_decide(L, 1, &q);
	if (aim->verdict.kind == VERDICT_REJECT)
		return fail(L, aim->verdict.message, aim->verdict.sqlstate);
	if (refused)
		return fail(L, refused, "0A000");
	aim_at(h, aim);
	call->subject.key = aim->key;
	statement_start(call, query, &statement);
	return blocking_await(L, &call->blocking, statement_done);
}

/* cluster:query(sql, ...), one, value, exec: see push_answer(). */
static int cluster_query(lua_State *L)
{
	check_cluster(L, 1);
	const struct call_options options = take_call_options(L, 2);
	struct exec_query query = take_query(L, 2);
	return run(L, &query, &options);
}

/* The same for what cluster:prepare() has made, which stands at 1. */
static int cluster_query_prepared(lua_State *L)
{
	uint64_t hash = prepared_unfold(L, CLUSTER_STATEMENT);
	check_cluster(L, 1);
	const struct call_options options = take_call_options(L, 2);
	struct exec_query query = take_prepared(L, 2, hash);
	return run(L, &query, &options);
}

static int cluster_prepare(lua_State *L)
{
	check_cluster(L, 1);
	return prepare_statement(L, CLUSTER_STATEMENT);
}

/* cluster:verdict(sql): what the policy says of a statement that is not run: the name of the route
 * or endpoint, and whether the policy failed. */
static int cluster_verdict(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	const char *sql = luaL_checkstring(L, 2);
	struct classifier *classifier = state_classifier(L, h->state);
	const struct facts *facts =
	        classifier_facts(classifier, cluster_handle_catalog(h), sql, strlen(sql), true);
	uint64_t key = 0;
	struct query q = aim_question(h, facts, sql, 0, &key);
	struct verdict v = cluster_handle_decide(L, 1, &q);
	lua_pushstring(L, verdict_name(&v));
	lua_pushboolean(L, v.fallback);
	return 2;
}

void open_statement(lua_State *L)
{
	static const luaL_Reg methods[] = {
	        {"verdict", cluster_verdict}, {"prepare", cluster_prepare}, {NULL, NULL}};
	open_prepare(L);
	lua_getfield(L, -1, "cluster_methods");
	luaL_setfuncs(L, methods, 0);
	open_query_methods(L, cluster_query);
	open_stream_methods(L, cluster_query);
	lua_pop(L, 1);
	open_prepared(L, -1, CLUSTER_STATEMENT, "statement_methods", cluster_query_prepared);
}
