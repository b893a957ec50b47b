/* context.c - moongate_new() and moongate_free(), and the delivery of callbacks. */
/* SPDX-License-Identifier: MIT */
#include "api/api.h"
#include "base/random.h"
#include "base/version.h"
#include "cluster/interrupt.h"
#include "cluster/resolver.h"

#include <stdlib.h>
#include <string.h>

#define STATEMENTS 1000 /* that the classifier remembers */
#define FAREWELL   1.0  /* s that PostgreSQL has to stop what was given up */

const char *moongate_version(void)
{
	return MOONGATE_VERSION;
}

static struct moongate_result result_of(const struct moongate_pending *p)
{
	const struct operation *op = &p->op;
	return (struct moongate_result){
	        .rows = op->result,
	        .sqlstate = p->sqlstate ? p->sqlstate : op->sqlstate,
	        .message = p->message ? p->message : op->message,
	        .endpoint = p->endpoint,
	        .connection = p->lends,
	};
}

static void deliver(struct moongate_pending *p)
{
	query_conclude(p);
	list_remove(&p->link);
	struct moongate_result result = result_of(p);
	p->op.result = NULL;
	p->lends = NULL;
	p->fn(&result, p->arg);
	PQclear(result.rows);
	free(p);
}

static void deliver_all(struct moongate *m)
{
	m->delivering++;
	for (struct list *first; (first = list_pop(&m->due)) != NULL;)
		deliver(LIST_ENTRY(first, struct moongate_pending, due));
	m->delivering--;
}

static void destroy(struct moongate *m)
{
	if (m->context.loop)
		ev_clear_pending(m->context.loop, &m->deliver);
	if (context_is_own(&m->context))
		interrupts_end(&m->context, FAREWELL);
	resolver_free(m->context.resolver);
	classifier_free(m->classifier);
	free(m->lua_path);
	free(m);
}

static void on_deliver(struct ev_loop *loop, ev_watcher *watcher, int events)
{
	struct moongate *m = LIST_ENTRY(watcher, struct moongate, deliver);
	(void)loop;
	(void)events;
	deliver_all(m);
	if (m->freed && m->delivering == 0)
		destroy(m);
}

struct moongate *moongate_new(struct ev_loop *loop)
{
	struct moongate *m = calloc(1, sizeof *m);
	if (!m)
		return NULL;
	list_init(&m->clusters);
	list_init(&m->due);
	ev_init(&m->deliver, on_deliver);
	m->context.loop = loop;
	m->context.pid = getpid();
	m->context.log = log_by_environment();
	random_secret(&m->context.random, sizeof m->context.random);
	m->classifier = classifier_new(STATEMENTS);
	if (loop)
		m->context.resolver = resolver_new(&m->context);
	if (m->classifier && (m->context.resolver || !loop))
		return m;
	destroy(m);
	return NULL;
}

void moongate_free(struct moongate *m)
{
	if (!m || m->freed)
		return;
	m->freed = true;
	while (!list_empty(&m->clusters))
		moongate_close(LIST_ENTRY(m->clusters.next, struct moongate_cluster, link));
	if (m->delivering > 0)
		return; /* the delivery under way does the rest */
	deliver_all(m);
	destroy(m);
}

bool moongate_log(struct moongate *m, const char *level, int fd)
{
	if (!log_level_parse(level, &m->context.log.level))
		return false;
	m->context.log.fd = fd;
	return true;
}

bool moongate_lua_path(struct moongate *m, const char *path)
{
	char *copy = strdup(path);
	if (!copy)
		return false;
	free(m->lua_path);
	m->lua_path = copy;
	return true;
}

void moongate_classify(struct moongate *m, const char *sql, struct moongate_facts *facts)
{
	const struct facts *f = classifier_facts(m->classifier, NULL, sql, strlen(sql), true);
	*facts = (struct moongate_facts){
	        .intent = f->intent == INTENT_READ ? MOONGATE_READ : MOONGATE_WRITE,
	        .kind = sql_kind_name(f->kind),
	        .reason = f->reason,
	        .statements = f->statements,
	        .fingerprint = f->fingerprint,
	        .tables = f->tables,
	        .table_count = f->table_count,
	        .functions = f->functions,
	        .function_count = f->function_count,
	};
}

struct moongate_pending *pending_new(struct moongate_cluster *c, size_t extra, moongate_done_fn *fn,
                                     void *arg)
{
	struct moongate_pending *p = calloc(1, sizeof *p + extra);
	if (!p)
		return NULL;
	list_push_back(&c->pending, &p->link);
	list_init(&p->due);
	p->m = c->m;
	p->cluster = c;
	p->fn = fn;
	p->arg = arg;
	return p;
}

void pending_due(struct moongate_pending *p)
{
	struct moongate *m = p->m;
	ev_timer_stop(m->context.loop, &p->timer);
	if (!list_empty(&p->due))
		return;
	list_push_back(&m->due, &p->due);
	ev_feed_event(m->context.loop, &m->deliver, EV_CUSTOM);
}

void pending_done(struct operation *op)
{
	pending_due(LIST_ENTRY(op, struct moongate_pending, op));
}

void pending_fail(struct moongate_pending *p, const char *sqlstate, const char *message)
{
	p->sqlstate = sqlstate;
	p->message = message;
	pending_due(p);
}

void pending_abort(struct moongate_pending *p, const struct loan *loan, const char *sqlstate,
                   const char *message)
{
	const struct cluster *cluster = loan ? NULL : p->cluster->cluster;
	if (operation_abort(&p->op, cluster, loan, sqlstate, message))
		pending_due(p);
}
