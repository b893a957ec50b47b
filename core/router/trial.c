/* trial.c - see trial.h. */
/* SPDX-License-Identifier: MIT */
#include "router/trial.h"

#include "base/clock.h"
#include "cluster/simulate.h"
#include "sql/tag_comment.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATEMENTS 10000 /* that the classifier remembers */

struct complaint_to {
	char *error;
	size_t size;
};

/* Always 2, the exit status of wrong usage. */
__attribute__((format(printf, 2, 3))) static int refuse(const struct complaint_to *to,
                                                        const char *format, ...)
{
	va_list values;
	va_start(values, format);
	vsnprintf(to->error, to->size, format, values);
	va_end(values);
	return 2;
}

static void list_name(char *list, size_t size, const char *name)
{
	size_t used = strlen(list);
	snprintf(list + used, size - used, "%s%s", used ? ", " : "", name);
}

static int refuse_database(const struct trial *t, const struct complaint_to *to)
{
	char known[256] = "";
	for (size_t i = 0; i < script_cluster_count(t->script); i++)
		list_name(known, sizeof known, script_cluster_at(t->script, i)->database);
	return refuse(to, "no cluster serves the database \"%s\"; there are %s",
	              t->situation->database, known);
}

static int refuse_endpoint(const struct trial *t, const struct complaint_to *to, const char *what)
{
	const struct cluster *c = t->home->cluster;
	char known[512] = "";
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (!c->endpoints[i]->absent)
			list_name(known, sizeof known, c->endpoints[i]->name);
	return refuse(to, "--endpoint %s: there is no such endpoint; there are %s", what, known);
}

static int simulate_each(struct endpoint *e, const char *argument, char *list,
                         const struct complaint_to *to)
{
	char wrong[256], *rest = NULL;
	for (char *each = strtok_r(list, ",", &rest); each; each = strtok_r(NULL, ",", &rest))
		if (!endpoint_simulate(e, each, wrong, sizeof wrong))
			return refuse(to, "--endpoint %s: %s", argument, wrong);
	return 0;
}

/* "NAME:what,what"; the name may be "host:port". */
static int simulate_endpoint(const struct trial *t, const char *argument,
                             const struct complaint_to *to)
{
	char copy[512];
	if ((size_t)snprintf(copy, sizeof copy, "%s", argument) >= sizeof copy)
		return refuse(to, "--endpoint: it is too long");
	char *colon = strrchr(copy, ':');
	if (!colon || colon == copy || !colon[1])
		return refuse(to, "--endpoint takes NAME:down, or NAME:lag=3, not \"%s\"",
		              argument);
	*colon = '\0';
	struct endpoint *e = cluster_endpoint(t->home->cluster, copy);
	return e ? simulate_each(e, argument, colon + 1, to) : refuse_endpoint(t, to, argument);
}

/* Nothing of it is news to anybody. */
static int simulate(const struct trial *t, struct context *context, const struct complaint_to *to)
{
	const struct situation *s = t->situation;
	enum log_level level = context->log.level;
	int status = 0;
	context->log.level = LOG_OFF;
	for (size_t i = 0; i < script_cluster_count(t->script); i++)
		cluster_simulate(script_cluster_at(t->script, i)->cluster);
	for (size_t i = 0; i < s->endpoint_count && status == 0; i++)
		status = simulate_endpoint(t, s->endpoints[i], to);
	context->log.level = level;
	return status;
}

static int note_tag(struct trial *t, const char *tag, const struct complaint_to *to)
{
	char key[256], comment[TAG_COMMENT];
	const char *equals = strchr(tag, '='), *wrong = NULL;
	if (!equals || (size_t)(equals - tag) >= sizeof key)
		return refuse(to, "--tag takes key=value, not \"%s\"", tag);
	snprintf(key, sizeof key, "%.*s", (int)(equals - tag), tag);
	wrong = tag_comment_wrong(key, equals + 1);
	if (wrong)
		return refuse(to, "--tag %s: %s", tag, wrong);
	size_t before = t->comments ? strlen(t->comments) : 0;
	char *more = realloc(t->comments, before + TAG_COMMENT);
	if (!more)
		return refuse(to, "out of memory");
	t->comments = more;
	snprintf(more + before, TAG_COMMENT, "%s", tag_comment(key, equals + 1, comment));
	return 0;
}

static int find_home(struct trial *t, const struct complaint_to *to)
{
	const char *database = t->situation->database;
	t->home = script_cluster(t->script, database ? database : "*");
	if (!t->home && database)
		return refuse_database(t, to);
	if (!t->home)
		t->home = script_cluster_at(t->script, 0);
	return 0;
}

int trial_begin(struct trial *t, struct context *context, const char *script,
                const struct script_options *options, const struct situation *situation,
                char *error, size_t error_size)
{
	const struct complaint_to to = {error, error_size};
	*t = (struct trial){.situation = situation};
	t->script = script_load(context, script, options, error, error_size);
	if (!t->script)
		return 1;
	t->classifier = classifier_new(STATEMENTS);
	if (!t->classifier) {
		snprintf(error, error_size, "out of memory");
		return 1;
	}
	int status = find_home(t, &to);
	for (size_t i = 0; i < situation->tag_count && status == 0; i++)
		status = note_tag(t, situation->tags[i], &to);
	if (status == 0)
		status = simulate(t, context, &to);
	return status;
}

void trial_end(struct trial *t)
{
	classifier_free(t->classifier);
	script_free(t->script);
	free(t->comments);
	free(t->text);
}

bool trial_move(struct trial *t, const char *database)
{
	const struct script_cluster *home = script_cluster(t->script, database);
	if (home)
		t->home = home;
	return home;
}

/* The statement as the policy sees it. NULL: out of memory. */
static const char *with_tags(struct trial *t, const char *sql, size_t *size)
{
	if (!t->comments)
		return sql;
	size_t more = strlen(t->comments);
	char *text = realloc(t->text, *size + more + 1);
	if (!text)
		return NULL;
	t->text = text;
	memcpy(text, sql, *size);
	memcpy(text + *size, t->comments, more + 1);
	*size += more;
	return text;
}

/* In a block that may write, all statements are writes: where it runs is decided once. */
static void judge_facts(struct outcome *o, bool in_transaction)
{
	if (!in_transaction || o->facts.intent == INTENT_WRITE)
		return;
	o->facts.intent = INTENT_WRITE;
	o->facts.reason = "in a transaction that may write";
}

static void go_to_primary(struct outcome *o, const struct trial *t, const char *why)
{
	o->moved = why;
	o->route = t->home->cluster->default_write;
	o->endpoint = route_pick(o->route, &o->demand);
}

/* Where it comes to, as the router does it. */
static void aim(struct outcome *o, const struct trial *t)
{
	const struct verdict *v = &o->verdict;
	if (v->kind == VERDICT_REJECT)
		return;
	bool to_primary = v->kind == VERDICT_ROUTE && route_config(v->route)->to == TO_PRIMARY;
	if (o->facts.pins && !to_primary) {
		go_to_primary(o, t, "what pins its session goes to the primary");
	} else if (v->kind == VERDICT_ROUTE) {
		o->route = v->route;
		o->endpoint = route_pick(v->route, &o->demand);
	} else if (endpoint_meets(v->endpoint, &o->demand)) {
		o->endpoint = v->endpoint;
	} else {
		go_to_primary(o, t, "the endpoint is not as fresh as the statement asks for");
	}
}

/* Beyond what the client may ask for: no policy is asked then. */
static bool take_need(struct outcome *o, const char *sql, size_t size)
{
	static const char label[] = "reject: ";
	snprintf(o->wrong, sizeof o->wrong, "%s", label);
	char *message = o->wrong + sizeof label - 1;
	if (need_of_tags(&o->need, sql, size, true, message, sizeof o->wrong - sizeof label))
		return true;
	o->verdict = (struct verdict){
	        .kind = VERDICT_REJECT, .message = message, .label = o->wrong, .sqlstate = "22023"};
	return false;
}

bool trial_ask(struct trial *t, const char *sql, size_t size, struct session_facts *session,
               struct outcome *o)
{
	const struct situation *s = t->situation;
	static const struct transaction_facts block;
	uint64_t key = 0;
	size_t whole = size;
	const char *text = with_tags(t, sql, &whole);
	if (!text)
		return false;
	*o = (struct outcome){.facts = *classifier_facts(t->classifier,
	                                                 catalogs_said(t->home->cluster->catalogs),
	                                                 sql, size, true)};
	bool writes = facts_may_write(&o->facts);
	judge_facts(o, s->in_transaction);
	o->demand = (struct demand){.now = clock_now(), .need = &o->need};
	o->demand.last_write = s->wrote ? o->demand.now - s->wrote_since : -INFINITY;
	if (!take_need(o, text, whole))
		return true;
	const struct query query = {.facts = &o->facts,
	                            .sql = text,
	                            .sql_size = whole,
	                            .standard_strings = true,
	                            .writes = writes,
	                            .in_transaction = s->in_transaction,
	                            .transaction = s->in_transaction ? &block : NULL,
	                            .key = &key,
	                            .session = session};
	o->verdict = policy_route(t->home->policy, &query);
	if (o->verdict.fallback)
		o->error = policy_error(t->home->policy);
	else
		o->line = policy_line(t->home->policy);
	aim(o, t);
	return true;
}
