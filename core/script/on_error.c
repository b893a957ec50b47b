/* on_error.c - see on_error.h. */
/* SPDX-License-Identifier: MIT */
#include "script/on_error.h"

#include "script/aim.h"

#include <string.h>

void on_error_tell(lua_State *L, struct cluster_handle *h, const char *sql,
                   struct error_subject *subject, const struct operation *op)
{
	if (!policy_hears(&h->policy, HOOK_ERROR))
		return;
	struct classifier *classifier = state_classifier(L, h->state);
	const struct facts *known =
	        classifier_facts(classifier, cluster_handle_catalog(h), sql, strlen(sql), true);
	const struct facts facts = call_facts(&subject->options, known);
	struct query q = aim_question(h, &facts, sql, subject->parameters, &subject->key);
	q.bound = subject->bound;
	const struct query_error error = {.sqlstate = op->sqlstate,
	                                  .message = op->message,
	                                  .endpoint = op->dispatch.endpoint};
	policy_tell_error(&h->policy, &q, &error);
}
