/* judge.c - see judge.h. */
/* SPDX-License-Identifier: MIT */
#include "router/judge.h"

#include "base/clock.h"
#include "router/relay.h"

/* A block that only reads may run on a replica, whatever the statements in it are called. */
static bool reads_only(const struct client *c, const struct facts *facts)
{
	unsigned effects = c->block.effects;
	bool read_only = effects & EFFECT_READ_ONLY ||
	                 (c->settings->read_only && !(effects & EFFECT_READ_WRITE));
	if (!read_only || effects & EFFECT_SERIALIZABLE)
		return false;
	return facts->intent == INTENT_READ || facts->kind == SQL_SET || facts->kind == SQL_DECLARE;
}

const struct facts *judge_facts(const struct client *c, const struct batch *b)
{
	static const struct facts none = {.intent = INTENT_READ, .kind = SQL_EMPTY};
	if (b->facts)
		return b->facts;
	if (b->statement)
		return statement_facts(b->statement, client_catalog(c));
	if (b->sql)
		return classifier_facts(c->worker->classifier, client_catalog(c), b->sql,
		                        b->sql_size, c->standard_strings);
	return &none;
}

/* What leaves state behind, or may not end where it began, goes to the primary. */
static bool belongs_to_primary(const struct client *c, const struct batch *b)
{
	return c->pins || b->pins || c->settings->serializable ||
	       (b->end == BATCH_NO_ANSWER && b->executes);
}

static struct demand demand_of(const struct judgment *j)
{
	return (struct demand){.now = clock_now(), .last_write = j->last_write, .need = &j->need};
}

/* Whose writes it has to see. What comes later in a block may read any table. */
static double last_write(const struct client *c, const struct judgment *j, bool in_block)
{
	const struct verdict *v = &j->verdict;
	const struct cluster *cluster = c->home->cluster;
	if (!cluster->scopes || v->kind != VERDICT_ROUTE)
		return c->last_write;
	const struct party who = {.user = c->user,
	                          .database = c->database,
	                          .key = j->key,
	                          .tables = in_block ? NULL : &c->worker->tables.all};
	return cluster_last_write(cluster, v->route, &who, c->last_write);
}

static struct verdict to_primary(const struct client *c)
{
	return (struct verdict){.kind = VERDICT_ROUTE, .route = c->home->cluster->default_write};
}

/* What the client asks for holds where the policy has named an endpoint, too. */
static bool misses(const struct judgment *j)
{
	const struct demand demand = demand_of(j);
	return j->verdict.kind == VERDICT_ENDPOINT && !endpoint_meets(j->verdict.endpoint, &demand);
}

static struct transaction_facts transaction_of(const struct client *c, unsigned effects)
{
	bool serializable = effects & EFFECT_SERIALIZABLE || c->settings->serializable;
	return (struct transaction_facts){
	        .read_only = effects & EFFECT_READ_ONLY ||
	                     (c->settings->read_only && !(effects & EFFECT_READ_WRITE)),
	        .deferrable = effects & EFFECT_DEFERRABLE,
	        .isolation = serializable                  ? "serializable"
	                     : effects & EFFECT_REPEATABLE ? "repeatable read"
	                                                   : NULL,
	};
}

static struct query question(const struct batch *b, const struct facts *facts,
                             const struct transaction_facts *transaction)
{
	return (struct query){.facts = facts,
	                      .sql = b->sql ? b->sql : "",
	                      .sql_size = b->sql_size,
	                      .writes = b->writes,
	                      .in_transaction = transaction,
	                      .transaction = transaction,
	                      .parameters = b->parameters};
}

static struct session_facts session_of_client(const struct client *c)
{
	return (struct session_facts){
	        .user = c->user,
	        .database = c->database,
	        .application_name = c->settings->application_name,
	        .address = c->address,
	        .vars = c->vars,
	};
}

/* `q` lacks only what the client knows. */
static struct verdict ask(struct client *c, struct query *q, uint64_t *key)
{
	struct session_facts session = session_of_client(c);
	q->standard_strings = c->standard_strings;
	q->key = key;
	q->session = &session;
	struct verdict v = policy_route(c->home->policy, q);
	c->vars = session.vars;
	if (c->home->shadow && !q->bound)
		shadow_ask(c->home->shadow, q, &v, &c->shadow_vars);
	q->session = NULL;
	return v;
}

void judge_tell_error(struct client *c, struct query *q, const struct query_error *error)
{
	struct session_facts session = session_of_client(c);
	q->standard_strings = c->standard_strings;
	q->session = &session;
	policy_tell_error(c->home->policy, q, error);
	q->session = NULL;
	c->vars = session.vars;
}

void judge_batch(struct client *c, const struct batch *b, struct judgment *j)
{
	const struct script_cluster *home = c->home;
	if (!home) {
		j->verdict = (struct verdict){
		        .kind = VERDICT_REJECT, .sqlstate = "57P01", .message = CLIENT_NOT_SERVED};
		return;
	}
	const struct facts *facts = judge_facts(c, b);
	struct facts judged = *facts;
	bool in_block = c->block.state == BLOCK_LAZY;
	if (in_block)
		judged.intent = reads_only(c, facts) ? INTENT_READ : INTENT_WRITE;
	else if (b->intent == INTENT_WRITE || c->pins & RELAY_PIN_SESSION)
		judged.intent = INTENT_WRITE;
	const struct transaction_facts transaction = transaction_of(c, c->block.effects);
	struct query query = question(b, &judged, in_block ? &transaction : NULL);
	j->key = 0;
	if (!demands_need(c, b, in_block, &j->need, j->wrong, sizeof j->wrong)) {
		j->verdict = (struct verdict){
		        .kind = VERDICT_REJECT, .message = j->wrong, .sqlstate = "22023"};
		return;
	}
	struct verdict *v = &j->verdict;
	*v = ask(c, &query, &j->key);
	if (v->kind != VERDICT_REJECT && !(c->pins & RELAY_PIN_SESSION) && belongs_to_primary(c, b))
		*v = to_primary(c);
	j->last_write = last_write(c, j, in_block);
	if (misses(j))
		*v = to_primary(c);
}

bool judge_may_reject(const struct client *c, const struct batch *b)
{
	const struct exchange *x = c->exchange;
	if (!c->home || b->statements == 0 || x->status == 'E')
		return false;
	return !(b->statements == 1 && b->effects & (EFFECT_END | EFFECT_SAVEPOINT));
}

bool judge_permits(struct client *c, const struct batch *b, struct judgment *j)
{
	const struct exchange *x = c->exchange;
	struct transaction_facts transaction = transaction_of(c, x->block_effects);
	transaction.endpoint = x->server->endpoint;
	transaction.age = c->worker->tick - x->block_since;
	bool in_block = x->status == 'T';
	struct query query = question(b, judge_facts(c, b), in_block ? &transaction : NULL);
	query.bound = true;
	j->verdict = ask(c, &query, &j->key);
	return j->verdict.kind != VERDICT_REJECT;
}

bool judge_agrees(const struct client *c, const struct judgment *j, const struct endpoint *e)
{
	if (!c->home || e->cluster != c->home->cluster)
		return false; /* it was removed meanwhile */
	const struct verdict *v = &j->verdict;
	const struct demand demand = demand_of(j);
	if (v->kind == VERDICT_ENDPOINT)
		return v->endpoint == e;
	return v->kind == VERDICT_ROUTE && route_accepts(v->route, e, &demand);
}
