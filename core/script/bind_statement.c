/* bind_statement.c - cluster:query(), cluster:verdict(), cluster:probe(): what the embedded module
 * does with a cluster besides describing it. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "cluster/probe.h"
#include "cluster/scopes.h"
#include "script/answer.h"
#include "script/blocking.h"
#include "script/parameters.h"

#include <math.h>
#include <string.h>

static struct query question(struct cluster_handle *h, const struct facts *facts, const char *sql,
                             int parameters, uint64_t *key)
{
	return (struct query){.facts = facts,
	                      .sql = sql,
	                      .sql_size = strlen(sql),
	                      .standard_strings = true,
	                      .writes = facts_may_write(facts),
	                      .parameters = parameters > 0 ? (unsigned)parameters : 0,
	                      .key = key,
	                      .session = &h->session};
}

/* Where it goes, and what it has to see there. */
struct aim {
	struct verdict verdict;
	uint64_t key;
	struct tables tables;
	struct need need;
	double last_write;
};

static void aim_at(struct cluster_handle *h, struct aim *a)
{
	struct cluster *c = h->cluster;
	const struct party who = {.key = a->key, .tables = &a->tables};
	const struct demand demand = {.now = clock_now(), .need = &a->need};
	struct verdict *v = &a->verdict;
	if (v->kind == VERDICT_ENDPOINT && !endpoint_meets(v->endpoint, &demand))
		*v = (struct verdict){.kind = VERDICT_ROUTE, .route = c->default_write};
	a->last_write = c->scopes && v->kind == VERDICT_ROUTE
	                        ? cluster_last_write(c, v->route, &who, h->last_write)
	                        : h->last_write;
}

static void learn(struct cluster_handle *h, struct classifier *classifier, const char *sql)
{
	classifier_learn_write(classifier, cluster_handle_catalog(h), sql, strlen(sql), true);
	catalogs_taught(h->catalog);
}

static void tell_error(struct cluster_handle *h, const struct query *q, const struct operation *op)
{
	const struct query_error error = {.sqlstate = op->sqlstate,
	                                  .message = op->message,
	                                  .endpoint = op->dispatch.endpoint};
	policy_tell_error(&h->policy, q, &error);
}

/* cluster:query(sql, ...), one, value, exec: see push_answer(). */
static int cluster_query(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	struct classifier *classifier = state_classifier(L, h->state);
	struct exec_query query = take_query(L, 2);
	const struct facts *facts = classifier_facts(classifier, cluster_handle_catalog(h),
	                                             query.sql, strlen(query.sql), true);
	bool changes = facts->effects & EFFECT_DDL;
	if (facts->function_count && facts->effects & EFFECT_MAY_PIN)
		catalogs_want(h->catalog); /* for its next call */
	enum intent intent = facts->intent;
	uint64_t fingerprint = facts->fingerprint;
	enum sql_kind kind = facts->kind;
	unsigned pins = facts_pins_with_settings(facts);
	struct aim aim = {.need = h->need};
	struct query q = question(h, facts, query.sql, query.count, &aim.key);
	if (h->cluster->scopes & 1u << SCOPE_TABLE)
		tables_add(&aim.tables, facts);
	char wrong[256];
	struct blocking *b = blocking_begin_on(L, h, "cluster:query");
	if (!need_of_tags(&aim.need, q.sql, q.sql_size, true, wrong, sizeof wrong))
		return push_failure(L, wrong, "22023", NULL);
	aim.verdict = cluster_handle_decide(L, 1, &q);
	if (aim.verdict.kind == VERDICT_REJECT)
		return push_failure(L, aim.verdict.message, aim.verdict.sqlstate, NULL);
	aim_at(h, &aim);
	if (aim.verdict.kind == VERDICT_ROUTE)
		query.timeout = route_config(aim.verdict.route)->timeout;
	struct operation_statement statement = {
	        .to = {.cluster = h->cluster,
	               .route = aim.verdict.route,
	               .endpoint = aim.verdict.endpoint,
	               .last_write = aim.last_write,
	               .need = &aim.need},
	        .query = query,
	        .intent = intent,
	        .fingerprint = fingerprint,
	        .kind = kind,
	        .pins = pins,
	};
	operation_start(&b->op, &statement, blocking_done);
	blocking_wait(L, b);
	if (*b->op.sqlstate)
		tell_error(h, &q, &b->op);
	if (intent == INTENT_WRITE || b->op.refused_by_replica)
		handle_wrote(h, aim.key, b->op.refused_by_replica ? NULL : &aim.tables);
	if (b->op.dispatch.endpoint)
		handle_read(h, b->op.dispatch.endpoint);
	if (b->op.refused_by_replica)
		learn(h, classifier, query.sql);
	if (changes)
		catalogs_stale(h->catalog);
	return push_answer(L, &b->op, h);
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
	struct query q = question(h, facts, sql, 0, &key);
	struct verdict v = cluster_handle_decide(L, 1, &q);
	lua_pushstring(L, verdict_name(&v));
	lua_pushboolean(L, v.fallback);
	return 2;
}

static bool all_known(const struct cluster *c, double since)
{
	for (size_t i = 0; i < c->endpoint_count; i++) {
		const struct endpoint *e = c->endpoints[i];
		if (health_usable(&e->health) && e->reported < since)
			return false;
	}
	return true;
}

/* Probes all endpoints that are believed to be there, and waits for what comes of it. */
static int cluster_probe(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	struct cluster *c = h->cluster;
	struct blocking *b = blocking_begin(L, h->state, "cluster:health");
	double now = clock_now(), deadline = now + c->health.timeout + PROBE_QUIET;
	for (size_t i = 0; i < c->endpoint_count; i++) {
		endpoint_check(c->endpoints[i]);
		probe_demand(c->endpoints[i]);
	}
	while (!all_known(c, now) && clock_now() < deadline)
		blocking_turn(L, b);
	return 0;
}

void open_statement(lua_State *L)
{
	static const luaL_Reg methods[] = {{"verdict", cluster_verdict}, {NULL, NULL}};
	static const luaL_Reg functions[] = {{"probe", cluster_probe}, {NULL, NULL}};
	lua_getfield(L, -1, "cluster_methods");
	luaL_setfuncs(L, methods, 0);
	open_query_methods(L, cluster_query);
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
}
