/* bind_pipeline.c - what pipeline(fn) of clusters, connections and transactions sends, once fn has
 * queued it: several statements in one round trip, which are one implicit transaction outside of a
 * block.
 *
 * All of them go to one server: where the first write would have gone, or the first statement of
 * all. The policy is asked of each, and whatever is rejected or has no place in a pipeline keeps
 * all of it from being sent. */
/* SPDX-License-Identifier: MIT */
#include "script/aim.h"
#include "script/connection.h"
#include "script/habit.h"
#include "script/misuse.h"
#include "script/on_error.h"
#include "script/queue.h"

#include <string.h>

/* One pipeline; the cluster or the connection stands at 1 on the stack, the queue at 2. */
struct pipeline_call {
	struct blocking blocking;
	struct cluster_handle *h;
	struct connection *c; /* NULL: the cluster is to choose */
	const struct queue *queue;
	struct aim aim;
	unsigned effects, pins;
	bool writes, forgets;
	bool commits; /* some of it may commit by itself */
	bool noted;   /* what it may have written */
	struct exec_batch batch;
	PGresult *results[];
};

static void note_write(struct pipeline_call *call)
{
	bool refused = call->blocking.op.refused_by_replica;
	if (call->noted || (!call->writes && !refused))
		return;
	call->noted = true;
	handle_wrote(call->h, call->aim.key, refused || call->c ? NULL : &call->aim.tables);
}

/* It may have been given up: what had been sent may have been done. */
static void pipeline_end(struct blocking *b)
{
	struct pipeline_call *call = (struct pipeline_call *)b;
	if (b->op.since > 0 && call->h->cluster)
		note_write(call);
	exec_batch_clear(&call->batch);
}

/* The same with fields.statement: which of them, from 0; as many as there are: none of them. */
static int push_failure_of(lua_State *L, const struct pipeline_call *call, size_t number,
                           const char *message, const char *sqlstate, const PGresult *result)
{
	int count = push_failure(L, message, sqlstate, result);
	if (number < call->batch.count) {
		lua_pushinteger(L, (lua_Integer)number + 1);
		lua_setfield(L, -2, "statement");
	}
	return count;
}

static struct facts facts_of(lua_State *L, const struct pipeline_call *call, size_t number)
{
	const char *sql = call->batch.queries[number].sql;
	struct classifier *classifier = state_classifier(L, call->h->state);
	return *classifier_facts(classifier, cluster_handle_catalog(call->h), sql, strlen(sql),
	                         true);
}

/* What cannot be in a pipeline, and would leave more behind there than an error; NULL: it can. */
static const char *misfit(const struct facts *facts)
{
	if (facts->effects & (EFFECT_BEGIN | EFFECT_END))
		return "a pipeline neither begins nor ends a transaction: outside of one, it is "
		       "one";
	if (facts->effects & (EFFECT_COPY_IN | EFFECT_COPY_OUT))
		return "COPY from or to the client has no place in a pipeline";
	return NULL;
}

static void survey(struct pipeline_call *call, const struct facts *facts)
{
	const struct call_options *options = &call->queue->options;
	bool writes = call_writes(options, facts);
	call->effects |= facts->effects;
	call->pins |= facts_pins_with_settings(facts);
	call->forgets |= facts_forget_prepared(facts);
	call->commits |= !habit_is_plannable(facts->kind);
	call->writes |= call->c ? connection_may_commit(call->c, facts, writes) : writes;
}

/* What the policy says of number `i`, with the need that it has; where `*wrong` is set to
 * something, it is not to be had. */
static struct verdict ask(lua_State *L, struct pipeline_call *call, size_t i,
                          const struct facts *facts, uint64_t *key, char *wrong, size_t wrong_size)
{
	struct cluster_handle *h = call->h;
	const struct exec_query *query = &call->batch.queries[i];
	if (call->c)
		return connection_ask(L, call->c, facts, query);
	struct query q = aim_question(h, facts, query->sql, query->count, key);
	if (h->cluster->scopes & 1u << SCOPE_TABLE)
		tables_add(&call->aim.tables, facts);
	if (!need_of_tags(&call->aim.need, q.sql, q.sql_size, true, wrong, wrong_size))
		return (struct verdict){
		        .kind = VERDICT_REJECT, .message = wrong, .sqlstate = "22023"};
	return cluster_handle_decide(L, 1, &q);
}

/* Takes number `i` in. False: it keeps all from being sent, and what is to be returned was pushed.
 */
static bool admit(lua_State *L, struct pipeline_call *call, size_t i)
{
	char wrong[256];
	uint64_t key = 0;
	bool wrote = call->writes;
	const struct facts known = facts_of(L, call, i);
	const struct facts facts = call_facts(&call->queue->options, &known);
	const char *why = misfit(&known);
	if (why) {
		push_failure_of(L, call, i, why, "0A000", NULL);
		return false;
	}
	survey(call, &known);
	int top = lua_gettop(L);
	struct verdict v = ask(L, call, i, &facts, &key, wrong, sizeof wrong);
	lua_settop(L, top);
	if (v.kind == VERDICT_REJECT) {
		push_failure_of(L, call, i, v.message, v.sqlstate, NULL);
		return false;
	}
	if (i == 0 || (call->writes && !wrote)) {
		call->aim.verdict = v;
		call->aim.key = key;
	}
	return true;
}

static bool admit_all(lua_State *L, struct pipeline_call *call)
{
	for (size_t i = 0; i < call->batch.count; i++)
		if (!admit(L, call, i))
			return false;
	return true;
}

static void learn(lua_State *L, const struct pipeline_call *call)
{
	const char *sql = call->batch.queries[call->blocking.op.refused].sql;
	classifier_learn_write(state_classifier(L, call->h->state), cluster_handle_catalog(call->h),
	                       sql, strlen(sql), true);
	catalogs_taught(call->h->catalog);
}

/* The policy's on_error() hears of the statement that has failed, or else of the first. */
static void tell_error(lua_State *L, struct pipeline_call *call)
{
	const struct operation *op = &call->blocking.op;
	size_t number = call->batch.failed < call->batch.count ? call->batch.failed : 0;
	const struct exec_query *query = &call->batch.queries[number];
	struct error_subject subject = {.options = call->queue->options,
	                                .parameters = query->count,
	                                .bound = call->c != NULL,
	                                .key = call->aim.key};
	on_error_tell(L, call->h, query->sql, &subject, op);
}

/* As when one statement is done: what the session has read and written. */
static void note_done(lua_State *L, struct pipeline_call *call)
{
	const struct operation *op = &call->blocking.op;
	const struct endpoint *read = op->dispatch.endpoint;
	if (*op->sqlstate)
		tell_error(L, call);
	note_write(call);
	if (call->c)
		read = call->c->loan.server ? call->c->loan.server->endpoint : NULL;
	if (read)
		handle_read(call->h, read);
	if (op->refused_by_replica && op->refused < call->batch.count)
		learn(L, call);
	if (call->effects & EFFECT_DDL)
		catalogs_stale(call->h->catalog);
}

static int push_results(lua_State *L, struct pipeline_call *call)
{
	const struct row_style style = push_style(L, call->h, &call->queue->options);
	lua_createtable(L, (int)call->batch.count, 1);
	int all = lua_gettop(L);
	for (size_t i = 0; i < call->batch.count; i++) {
		push_shaped(L, call->results[i], (enum shape)call->queue->shapes[i], &style);
		lua_rawseti(L, all, (lua_Integer)i + 1);
		lua_settop(L, all); /* decoders may lie below it */
		PQclear(call->results[i]);
		call->results[i] = NULL;
	}
	lua_pushinteger(L, (lua_Integer)call->batch.count);
	lua_setfield(L, all, "n");
	return 1;
}

static int pipeline_done(lua_State *L, struct blocking *b)
{
	struct pipeline_call *call = (struct pipeline_call *)b;
	if (call->h->cluster) /* not closed meanwhile */
		note_done(L, call);
	if (*b->op.sqlstate)
		return push_failure_of(L, call, call->batch.failed, b->op.message, b->op.sqlstate,
		                       b->op.result);
	return push_results(L, call);
}

/* Where a prepared statement is found to be stale, all is done again; so where that cannot be, or
 * where it would be stale for sure, none is. */
static void keep_prepared_apart(struct pipeline_call *call)
{
	if (call->commits || call->forgets)
		for (size_t i = 0; i < call->batch.count; i++)
			call->queue->queries[i].prepared = 0;
}

static struct operation_statement statement_of(struct pipeline_call *call)
{
	keep_prepared_apart(call);
	const struct call_options *options = &call->queue->options;
	return (struct operation_statement){
	        .query = {.sql = call->batch.queries[0].sql, .batch = &call->batch},
	        .intent = call->writes ? INTENT_WRITE : INTENT_READ,
	        .kind = SQL_MULTI,
	        .pins = call->pins,
	        .declared_read = options->has_intent && options->intent == INTENT_READ,
	        .forgets = call->forgets,
	        .timeout = options->timeout,
	};
}

static struct pipeline_call *begin(lua_State *L, struct cluster_handle *h, const char *what)
{
	struct queue *queue = check_queue(L, 2);
	size_t results = queue->count * sizeof(PGresult *);
	struct pipeline_call *call = blocking_begin_on(L, h, sizeof *call + results, what);
	queue->over = true;
	call->h = h;
	call->queue = queue;
	call->aim.need = h->need;
	call->batch = (struct exec_batch){.queries = queue->queries,
	                                  .count = queue->count,
	                                  .results = call->results,
	                                  .failed = queue->count};
	call->blocking.end = pipeline_end;
	return call;
}

static int run_on_cluster(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	struct pipeline_call *call = begin(L, h, "cluster:pipeline");
	if (call->batch.count == 0)
		return push_results(L, call);
	blocking_catch_up(h);
	if (!admit_all(L, call))
		return 4;
	if (call->effects & EFFECT_MAY_PIN)
		catalogs_want(h->catalog);
	aim_at(h, &call->aim);
	struct operation_statement statement = statement_of(call);
	statement.to = aim_request(h, &call->aim);
	statement.query.timeout = aim_timeout(&call->aim);
	operation_start(&call->blocking.op, &statement, blocking_done);
	return blocking_await(L, &call->blocking, pipeline_done);
}

static int run_on_connection(lua_State *L)
{
	struct connection *c = check_connection_for_query(L);
	struct pipeline_call *call = begin(L, c->owner, "connection:pipeline");
	call->c = c;
	if (!c->loan.server)
		return connection_push_lost(L, c);
	if (call->batch.count == 0)
		return push_results(L, call);
	if (!admit_all(L, call))
		return connection_reject(L, c, &call->blocking);
	c->loan.pins |= call->pins;
	const struct operation_statement statement = statement_of(call);
	operation_run_on(&call->blocking.op, &c->loan, &statement, blocking_done);
	return blocking_await(L, &call->blocking, pipeline_done);
}

static bool is_connection(lua_State *L)
{
	return luaL_testudata(L, 1, CONNECTION_HANDLE) != NULL;
}

/* core.queue(cluster or connection, options): what the function of a pipeline is given. */
static int new_queue(lua_State *L)
{
	if (is_connection(L))
		check_connection_for_query(L);
	else
		check_cluster(L, 1);
	lua_settop(L, 2);
	const struct call_options options = take_call_options(L, 1);
	if (lua_gettop(L) == 2 && !lua_isnil(L, 2))
		misuse(L, "the options of a pipeline are a table, not a %s", luaL_typename(L, 2));
	push_queue(L)->options = options;
	return 1;
}

/* core.run_queue(cluster or connection, queue): the results, in order. */
static int run_queue(lua_State *L)
{
	lua_settop(L, 2);
	return is_connection(L) ? run_on_connection(L) : run_on_cluster(L);
}

void open_pipeline(lua_State *L)
{
	static const luaL_Reg functions[] = {
	        {"queue", new_queue}, {"run_queue", run_queue}, {NULL, NULL}};
	open_queue(L);
	luaL_setfuncs(L, functions, 0);
}
