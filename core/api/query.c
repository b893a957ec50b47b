/* query.c - moongate_query() and moongate_cancel(): from a statement to its operation, and what the
 * cluster learns of it. */
/* SPDX-License-Identifier: MIT */
#include "api/query.h"

#include "api/options.h"
#include "base/clock.h"
#include "base/plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct operation_advice query_advice = {
        .copies = "no function of moongate.h takes COPY ... FROM STDIN or COPY ... TO STDOUT",
        .left_open = "use moongate_borrow() and moongate_query_on()",
};

const struct facts *cluster_facts(const struct moongate_cluster *c, const char *sql)
{
	return classifier_facts(c->m->classifier, c->catalog ? c->catalog->catalog : NULL, sql,
	                        strlen(sql), true);
}

/* Of the parameter, as it is copied: a text with its NUL. */
static size_t size_of(const struct moongate_statement *s, int i)
{
	if (!s->values[i])
		return 0;
	bool binary = s->formats && s->formats[i] == 1;
	return binary ? (size_t)s->lengths[i] : strlen(s->values[i]) + 1;
}

/* Places for a pointer and three numbers per parameter, then the bytes. */
static size_t room_for(const struct moongate_statement *s)
{
	size_t count = s->count > 0 ? (size_t)s->count : 0;
	size_t room = count * (sizeof(char *) + 2 * sizeof(int) + sizeof(Oid));
	for (int i = 0; i < s->count; i++)
		room += size_of(s, i);
	return room + strlen(s->sql) + 1 + sizeof(char *);
}

static void *take(char **at, const void *from, size_t size)
{
	void *to = *at;
	memcpy(to, from, size);
	*at += size;
	return to;
}

static struct exec_query copy(char *at, const struct moongate_statement *s)
{
	at += (sizeof(char *) - (uintptr_t)at % sizeof(char *)) % sizeof(char *);
	struct exec_query q = {.count = -1};
	if (s->count > 0) {
		size_t count = (size_t)s->count;
		const char **values = take(&at, s->values, count * sizeof *values);
		q.count = s->count;
		q.values = values;
		if (s->types)
			q.types = take(&at, s->types, count * sizeof *s->types);
		if (s->lengths)
			q.lengths = take(&at, s->lengths, count * sizeof *s->lengths);
		if (s->formats)
			q.formats = take(&at, s->formats, count * sizeof *s->formats);
		for (int i = 0; i < s->count; i++)
			if (values[i])
				values[i] = take(&at, values[i], size_of(s, i));
	}
	q.sql = take(&at, s->sql, strlen(s->sql) + 1);
	return q;
}

/* Nobody waits any longer. */
static void on_timeout(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct moongate_pending *p = LIST_ENTRY(watcher, struct moongate_pending, timer);
	char message[128];
	(void)loop;
	(void)events;
	bool unknown = p->op.may_commit && p->op.since > 0;
	plain_print(message, sizeof message, "the query was given up after its timeout of %g s%s",
	            p->timeout, unknown ? "; its outcome is unknown" : "");
	pending_abort(p, NULL, unknown ? "08007" : "57014", message);
}

bool query_is_wrong(struct moongate_pending *p, const struct moongate_statement *s)
{
	const struct complaint_to to = {p->text, POLICY_REJECTION};
	if (statement_is_right(s, &to))
		return false;
	pending_fail(p, s->sql && s->count > MOST_PARAMETERS ? "54000" : "22023", p->text);
	return true;
}

struct moongate_pending *query_new(struct moongate_cluster *c, const struct moongate_statement *s,
                                   moongate_done_fn *fn, void *arg, struct exec_query *query)
{
	static const struct moongate_statement nothing = {.sql = ""};
	char wrong[POLICY_REJECTION];
	if (!statement_is_right(s, &(struct complaint_to){wrong, sizeof wrong}))
		s = &nothing; /* query_is_wrong() will tell */
	size_t room = room_for(s);
	struct moongate_pending *p =
	        pending_new(c, room > POLICY_REJECTION ? room : POLICY_REJECTION, fn, arg);
	if (!p)
		return NULL;
	*query = copy(p->text, s);
	if (s->timeout > 0) {
		p->timeout = s->timeout;
		ev_now_update(c->m->context.loop); /* the program may have worked long */
		ev_timer_init(&p->timer, on_timeout, s->timeout, 0);
		ev_timer_start(c->m->context.loop, &p->timer);
	}
	return p;
}

void query_reject(struct moongate_pending *p, const struct verdict *v)
{
	int size = snprintf(p->text, sizeof v->sqlstate, "%s", v->sqlstate) + 1;
	snprintf(p->text + size, POLICY_REJECTION - (size_t)size, "%s", v->message);
	p->sqlstate = p->text;
	p->message = p->text + size;
}

struct query query_question(struct moongate_cluster *c, struct moongate_pending *p,
                            const struct facts *facts, const struct exec_query *query)
{
	return (struct query){.facts = facts,
	                      .sql = query->sql,
	                      .sql_size = strlen(query->sql),
	                      .standard_strings = true,
	                      .writes = facts_may_write(facts),
	                      .parameters = query->count > 0 ? (unsigned)query->count : 0,
	                      .key = &p->key,
	                      .session = &c->session};
}

struct verdict query_decide(struct moongate_cluster *c, const struct query *q)
{
	if (c->policy)
		return policy_route(c->policy, q);
	return (struct verdict){.kind = VERDICT_ROUTE,
	                        .route = cluster_default_route(c->cluster, q->facts->intent)};
}

void query_note_facts(struct moongate_pending *p, const struct facts *f)
{
	p->writes = f->intent == INTENT_WRITE;
	p->changes = f->effects & EFFECT_DDL;
	p->unpins = f->effects & EFFECT_UNPIN_ALL;
	p->pins = facts_pins_with_settings(f);
	if (f->function_count && f->effects & EFFECT_MAY_PIN)
		catalogs_want(p->cluster->catalog); /* for its next call */
	if (p->cluster->cluster->scopes & 1u << SCOPE_TABLE)
		tables_add(&p->tables, f);
}

/* Where it goes, and what it has to see there. */
static struct dispatch_request aim(struct moongate_pending *p, const struct verdict *v,
                                   const struct need *need)
{
	struct moongate_cluster *c = p->cluster;
	struct dispatch_request to = {.cluster = c->cluster,
	                              .route = v->kind == VERDICT_ROUTE ? v->route : NULL,
	                              .endpoint = v->endpoint,
	                              .last_write = c->last_write,
	                              .need = need};
	const struct party who = {.key = p->key, .tables = &p->tables};
	const struct demand demand = {
	        .now = clock_now(), .last_write = c->last_write, .need = need};
	if (!to.route && !endpoint_meets(to.endpoint, &demand))
		to.route = c->cluster->default_write;
	if (to.route && c->cluster->scopes)
		to.last_write = cluster_last_write(c->cluster, to.route, &who, c->last_write);
	return to;
}

static void start(struct moongate_pending *p, const struct facts *facts, struct exec_query *query,
                  bool declared_read)
{
	struct moongate_cluster *c = p->cluster;
	struct need need = c->need;
	char wrong[256];
	if (!need_of_tags(&need, query->sql, strlen(query->sql), true, wrong, sizeof wrong)) {
		struct verdict v = {.sqlstate = "22023", .message = wrong};
		query_reject(p, &v);
		pending_due(p);
		return;
	}
	const struct query q = query_question(c, p, facts, query);
	const struct verdict v = query_decide(c, &q);
	if (v.kind == VERDICT_REJECT) {
		query_reject(p, &v);
		pending_due(p);
		return;
	}
	const struct dispatch_request to = aim(p, &v, &need);
	if (to.route)
		query->timeout = route_config(to.route)->timeout;
	const struct operation_statement statement = {.to = to,
	                                              .query = *query,
	                                              .intent = facts->intent,
	                                              .fingerprint = facts->fingerprint,
	                                              .kind = facts->kind,
	                                              .pins = p->pins,
	                                              .declared_read = declared_read,
	                                              .advice = &query_advice};
	operation_start(&p->op, &statement, pending_done);
}

struct moongate_pending *moongate_query(struct moongate_cluster *c,
                                        const struct moongate_statement *s, moongate_done_fn *fn,
                                        void *arg)
{
	struct exec_query query;
	struct moongate_pending *p = query_new(c, s, fn, arg, &query);
	if (!p || query_is_wrong(p, s))
		return p;
	struct facts facts = *cluster_facts(c, query.sql);
	if (s->intent != MOONGATE_CLASSIFIED)
		facts.intent = s->intent == MOONGATE_READ ? INTENT_READ : INTENT_WRITE;
	query_note_facts(p, &facts);
	start(p, &facts, &query, s->intent == MOONGATE_READ);
	return p;
}

static void note_write(struct moongate_pending *p)
{
	struct moongate_cluster *c = p->cluster;
	bool refused = p->op.refused_by_replica;
	if (p->op.since == 0 || (!p->writes && !refused))
		return;
	bool in_block = p->op.loan;
	const struct party who = {.key = in_block ? 0 : p->key,
	                          .tables = refused || in_block ? NULL : &p->tables};
	c->last_write = clock_now();
	cluster_wrote(c->cluster, &who, c->last_write);
}

static void note_read(struct moongate_cluster *c, const struct endpoint *e)
{
	c->need.has_read = true;
	c->need.last_read = clock_now();
	c->need.reader = e->index;
	c->need.reader_incarnation = e->incarnation;
}

static void tell_error(struct moongate_pending *p, const struct endpoint *e)
{
	struct moongate_cluster *c = p->cluster;
	const struct query_error error = {
	        .sqlstate = p->op.sqlstate, .message = p->op.message, .endpoint = e};
	if (!c->policy || !policy_hears(c->policy, HOOK_ERROR))
		return;
	const struct query q =
	        query_question(c, p, cluster_facts(c, p->op.query.sql), &p->op.query);
	policy_tell_error(c->policy, &q, &error);
}

static const struct endpoint *endpoint_of(const struct moongate_pending *p)
{
	if (p->connection)
		return p->connection->loan.server ? p->connection->loan.server->endpoint : NULL;
	return p->op.dispatch.endpoint;
}

static void lend(struct moongate_pending *p)
{
	struct moongate_connection *connection = p->lends;
	if (!p->cluster || !p->op.server) {
		free(connection);
		p->lends = NULL;
		return;
	}
	connection->cluster = p->cluster;
	list_push_back(&p->cluster->connections, &connection->link);
	loan_begin(&connection->loan, &p->cluster->loans, NULL, p->op.server);
	p->op.server = NULL;
}

/* For those that a connection has run. */
static void note_pins(struct moongate_pending *p)
{
	if (p->connection && p->unpins && !*p->op.sqlstate)
		p->connection->loan.pins = p->pins; /* DISCARD ALL has run */
}

void query_conclude(struct moongate_pending *p)
{
	struct moongate_cluster *c = p->cluster;
	const struct endpoint *e = c ? endpoint_of(p) : NULL;
	if (e)
		snprintf(p->endpoint, sizeof p->endpoint, "%s", e->name);
	if (p->lends)
		lend(p);
	if (!c || !p->op.query.sql || p->sqlstate)
		return;
	if (*p->op.sqlstate)
		tell_error(p, e);
	note_write(p);
	if (e)
		note_read(c, e);
	note_pins(p);
	if (p->op.refused_by_replica) {
		const char *sql = p->op.query.sql;
		classifier_learn_write(c->m->classifier, c->catalog ? c->catalog->catalog : NULL,
		                       sql, strlen(sql), true);
		catalogs_taught(c->catalog);
	}
	if (p->changes)
		catalogs_stale(c->catalog);
}

void moongate_cancel(struct moongate_pending *p)
{
	if (!p)
		return;
	ev_timer_stop(p->m->context.loop, &p->timer);
	list_remove(&p->due);
	list_remove(&p->link);
	if (p->cluster)
		note_write(p);
	operation_end(&p->op);
	free(p->lends);
	free(p);
}
