/* statement_log.c - see statement_log.h. */
/* SPDX-License-Identifier: MIT */
#include "router/statement_log.h"

#include "router/query_log_moongate.h"
#include "router/relay.h"

#include <stdio.h>
#include <stdlib.h>

/* A copy, for the script may be replaced before the batch goes. */
struct judged_as {
	char verdict[320], rule[POLICY_RULE_NAME];
};

static bool is_on(const struct client *c)
{
	return script_log_queries(c->worker->script);
}

void statement_log_judged(struct exchange *x, const struct judgment *j)
{
	if (!is_on(x->client))
		return;
	if (!x->said)
		x->said = malloc(sizeof *x->said);
	if (!x->said)
		return; /* its line will have no verdict */
	snprintf(x->said->verdict, sizeof x->said->verdict, "%s", verdict_name(&j->verdict));
	snprintf(x->said->rule, sizeof x->said->rule, "%s",
	         j->verdict.rule ? j->verdict.rule->name : "");
}

static void put(const struct client *c, const struct batch *b, const char *verdict,
                const char *rule, const char *endpoint)
{
	const struct query_log_entry entry = {.sql = b->sql,
	                                      .size = b->sql_size,
	                                      .user = c->user,
	                                      .database = c->database,
	                                      .application = c->settings->application_name,
	                                      .address = c->address};
	if (b->sql)
		query_log_write(&c->worker->context.log, &entry, verdict, rule, endpoint);
}

void statement_log_sent(struct exchange *x, const struct batch *b)
{
	struct judged_as *judged = x->said;
	if (!judged && !is_on(x->client))
		return;
	put(x->client, b, judged ? judged->verdict : "bound", judged ? judged->rule : NULL,
	    x->server->endpoint->name);
	free(judged);
	x->said = NULL;
}

void statement_log_rejected(const struct client *c, const struct batch *b, const struct verdict *v)
{
	char verdict[320];
	if (!is_on(c))
		return;
	snprintf(verdict, sizeof verdict, "reject: %s", v->message);
	put(c, b, verdict, v->rule ? v->rule->name : NULL, NULL);
}
