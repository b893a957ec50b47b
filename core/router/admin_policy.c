/* admin_policy.c - /policy: how the policies do, which rules decide, and where a shadow differs. */
/* SPDX-License-Identifier: MIT */
#include "router/admin_pages.h"
#include "router/json.h"
#include "router/worker.h"

#include <inttypes.h>
#include <string.h>

static void put_text(FILE *out, const char *key, const char *text)
{
	fprintf(out, ",\"%s\":", key);
	json_put_string(out, text, strlen(text));
}

static void put_rules(FILE *out, const struct policy *policy)
{
	const char *comma = "";
	fputs(",\"rules\":[", out);
	for (const struct policy_rule *r = NULL; (r = policy_rule_after(policy, r));) {
		fprintf(out, "%s{\"hits\":%" PRIu64, comma, r->hits);
		put_text(out, "name", r->name);
		fputc('}', out);
		comma = ",";
	}
	fputc(']', out);
}

static void put_shadow(FILE *out, const struct shadow_counts *c)
{
	fprintf(out,
	        ",\"shadow\":{\"same\":%" PRIu64 ",\"different\":%" PRIu64 ",\"failed\":%" PRIu64
	        ",\"differences\":[",
	        c->same, c->different, c->failed);
	for (size_t i = 0; i < c->pair_count; i++) {
		const struct shadow_pair *p = &c->pairs[i];
		fprintf(out, "%s{\"count\":%" PRIu64 ",\"fingerprint\":\"%016" PRIx64 "\"",
		        i ? "," : "", p->count, p->fingerprint);
		put_text(out, "kind", sql_kind_name(p->kind));
		put_text(out, "current", p->current);
		put_text(out, "candidate", p->candidate);
		fputc('}', out);
	}
	fputs("]}", out);
}

static void put_cluster(FILE *out, const struct script_cluster *c)
{
	const struct policy_stats stats = policy_stats(c->policy);
	const struct mirror_counts *m = &c->cluster->mirrored;
	fputs("{\"cluster\":", out);
	json_put_string(out, c->database, strlen(c->database));
	fprintf(out, ",\"calls\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"tripped\":%s", stats.calls,
	        stats.errors, stats.tripped ? "true" : "false");
	put_text(out, "last_error", policy_error(c->policy));
	fprintf(out,
	        ",\"mirrored\":{\"done\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"dropped\":%" PRIu64
	        "}",
	        m->done, m->failed, m->dropped);
	put_rules(out, c->policy);
	if (c->shadow)
		put_shadow(out, shadow_counts(c->shadow));
	fputc('}', out);
}

void admin_policy(struct worker *w, const struct http_request *q, struct http_response *r)
{
	(void)q;
	fputs("{\"clusters\":[", r->body);
	for (size_t i = 0; i < script_cluster_count(w->script); i++) {
		if (i)
			fputc(',', r->body);
		put_cluster(r->body, script_cluster_at(w->script, i));
	}
	fputs("]}\n", r->body);
}
