/* shadow.c - see shadow.h. */
/* SPDX-License-Identifier: MIT */
#include "script/shadow.h"

#include "base/clock.h"
#include "script/shadow_lua.h"
#include "script/state.h"

#include <stdio.h>
#include <string.h>

#define LOG_EVERY 1.0 /* s between lines about differences */

static bool is_pair(const struct shadow_pair *p, const char *current, const char *candidate)
{
	return strncmp(p->current, current, SHADOW_NAME - 1) == 0 &&
	       strncmp(p->candidate, candidate, SHADOW_NAME - 1) == 0;
}

/* Where this difference counts. */
static struct shadow_pair *pair_of(struct shadow_counts *c, const char *current,
                                   const char *candidate)
{
	for (size_t i = 0; i < c->pair_count; i++)
		if (is_pair(&c->pairs[i], current, candidate))
			return &c->pairs[i];
	if (c->pair_count == SHADOW_PAIRS)
		return &c->pairs[SHADOW_PAIRS - 1];
	bool last = c->pair_count + 1 == SHADOW_PAIRS;
	struct shadow_pair *p = &c->pairs[c->pair_count++];
	snprintf(p->current, sizeof p->current, "%s", last ? "others" : current);
	snprintf(p->candidate, sizeof p->candidate, "%s", last ? "others" : candidate);
	return p;
}

static void tell(struct shadow *s, const struct shadow_pair *p)
{
	char fingerprint[17];
	double now = clock_now();
	if (s->logged > 0 && now - s->logged < LOG_EVERY)
		return;
	s->logged = now;
	snprintf(fingerprint, sizeof fingerprint, "%016llx", (unsigned long long)p->fingerprint);
	log_info(&s->policy.state->context->log, "shadow policy differs",
	         LOG_T("current", p->current), LOG_T("candidate", p->candidate),
	         LOG_T("kind", sql_kind_name(p->kind)), LOG_T("fingerprint", fingerprint),
	         LOG_N("differences", s->counts.different));
}

static void note_difference(struct shadow *s, const struct query *q, const char *current,
                            const char *candidate)
{
	struct shadow_pair *p = pair_of(&s->counts, current, candidate);
	s->counts.different++;
	p->count++;
	p->fingerprint = q->facts->fingerprint;
	p->kind = q->facts->kind;
	tell(s, p);
}

void shadow_ask(struct shadow *s, const struct query *query, const struct verdict *verdict,
                int *vars)
{
	char current[SHADOW_NAME]; /* the name of a rejection is the policy's to change */
	struct session_facts session = *query->session;
	struct query own = *query;
	uint64_t key = 0;
	session.vars = *vars;
	own.session = &session;
	own.key = &key;
	snprintf(current, sizeof current, "%s", verdict_name(verdict));
	const struct verdict candidate = policy_route(&s->policy, &own);
	*vars = session.vars;
	if (candidate.fallback)
		s->counts.failed++;
	else if (strncmp(current, verdict_name(&candidate), sizeof current - 1) == 0)
		s->counts.same++;
	else
		note_difference(s, query, current, verdict_name(&candidate));
}

void shadow_session_end(struct shadow *s, int *vars)
{
	struct session_facts session = {.vars = *vars};
	policy_session_end(&s->policy, &session);
	*vars = 0;
}

const struct shadow_counts *shadow_counts(const struct shadow *s)
{
	return &s->counts;
}
