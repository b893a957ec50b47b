/* admission.c - see admission.h. */
/* SPDX-License-Identifier: MIT */
#include "router/admission.h"

#include <stdio.h>
#include <string.h>

/* The one that the hook means; NULL: the script's router has no such cluster. */
static const struct script_cluster *meant(const struct worker *w, const struct admission *a)
{
	for (size_t i = 0; i < script_cluster_count(w->script); i++) {
		const struct script_cluster *c = script_cluster_at(w->script, i);
		if (a->cluster ? c->cluster == a->cluster : strcmp(c->database, a->message) == 0)
			return c;
	}
	return NULL;
}

static bool move(struct client *c, const struct admission *a)
{
	char message[320];
	const struct script_cluster *to = meant(c->worker, a), *from = c->home;
	if (!to) {
		snprintf(message, sizeof message,
		         a->cluster ? "on_connect chose a cluster that the router does not have"
		                    : "on_connect chose cluster \"%s\", which the router does not "
		                      "have",
		         a->message);
		log_warn(&c->worker->context.log, "session refused", LOG_T("user", c->user),
		         LOG_T("database", c->database), LOG_T("reason", message));
		client_close(c, "3D000", message, NULL);
		return false;
	}
	if (to == from)
		return true;
	struct session_facts session = {.vars = c->vars};
	client_set_home(c, to);
	policy_session_move(from->policy, to->policy, &session);
	c->vars = session.vars;
	return true;
}

bool admission_ask(struct client *c)
{
	struct policy *policy = c->home->policy;
	struct session_facts session = {.user = c->user,
	                                .database = c->database,
	                                .application_name = c->settings->application_name,
	                                .address = c->address,
	                                .vars = c->vars};
	if (!policy_hears(policy, HOOK_CONNECT))
		return true;
	const struct admission a = policy_connect(policy, &session);
	c->vars = session.vars;
	if (a.kind == ADMISSION_REJECT) {
		client_close(c, a.sqlstate, a.message, NULL);
		return false;
	}
	return a.kind != ADMISSION_CLUSTER || move(c, &a);
}
