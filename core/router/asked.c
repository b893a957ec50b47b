/* asked.c - see asked.h. */
/* SPDX-License-Identifier: MIT */
#include "router/asked.h"

#include "router/judge.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_KEPT 8192 /* bytes of a statement's text that on_error may read */

struct asked {
	struct facts *facts; /* NULL: nothing is known of it */
	char *sql;
	size_t sql_size;
	unsigned parameters;
};

static void forget(struct asked *a)
{
	free(a->facts);
	free(a->sql);
	*a = (struct asked){0};
}

static bool is_heard(const struct client *c)
{
	return c->home && policy_hears(c->home->policy, HOOK_ERROR);
}

void asked_note(struct exchange *x, const struct batch *b)
{
	struct client *c = x->client;
	if (!is_heard(c))
		return;
	if (!x->asked)
		x->asked = calloc(RELAY_PIPELINE, sizeof *x->asked);
	if (!x->asked || (x->open && b->statements == 0))
		return; /* an open batch is what its last statement is */
	struct asked *a = &x->asked[(x->first + x->outstanding) % RELAY_PIPELINE];
	forget(a);
	a->facts = facts_copy(judge_facts(c, b));
	a->sql_size = b->sql && b->sql_size < TEXT_KEPT ? b->sql_size : 0;
	a->sql = a->sql_size ? strndup(b->sql, a->sql_size) : NULL;
	a->parameters = b->parameters;
}

void asked_skip(struct exchange *x)
{
	if (x->asked)
		forget(&x->asked[(x->first + x->outstanding) % RELAY_PIPELINE]);
}

static void tell(struct client *c, const struct facts *facts, const char *sql, size_t size,
                 unsigned parameters, const struct query_error *error)
{
	struct query query = {.facts = facts,
	                      .sql = sql ? sql : "",
	                      .sql_size = sql ? size : 0,
	                      .writes = facts_may_write(facts),
	                      .parameters = parameters};
	judge_tell_error(c, &query, error);
}

void asked_failed(struct exchange *x, const char *sqlstate, const char *message)
{
	bool awaited = x->outstanding || x->open;
	const struct asked *a = x->asked && awaited ? &x->asked[x->first] : NULL;
	const struct query_error error = {.sqlstate = sqlstate,
	                                  .message = message,
	                                  .endpoint = x->server ? x->server->endpoint : NULL};
	if (a && a->facts && is_heard(x->client))
		tell(x->client, a->facts, a->sql, a->sql_size, a->parameters, &error);
}

void asked_refused(struct exchange *x, const uint8_t *body, size_t size)
{
	if (!x->asked || x->errored)
		return;
	const char *sqlstate = message_error_field(body, size, 'C');
	const char *message = message_error_field(body, size, 'M');
	asked_failed(x, sqlstate ? sqlstate : "", message ? message : "");
}

void asked_in_vain(struct client *c, const struct batch *b, const char *sqlstate,
                   const char *message)
{
	const struct query_error error = {.sqlstate = sqlstate, .message = message};
	if (is_heard(c))
		tell(c, judge_facts(c, b), b->sql, b->sql_size, b->parameters, &error);
}

void asked_free(struct exchange *x)
{
	for (size_t i = 0; x->asked && i < RELAY_PIPELINE; i++)
		forget(&x->asked[i]);
	free(x->asked);
	x->asked = NULL;
}
