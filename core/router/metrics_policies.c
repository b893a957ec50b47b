/* metrics_policies.c - /metrics: rules, copies of reads, shadows. */
/* SPDX-License-Identifier: MIT */
#include "router/metrics.h"

#include "cluster/cluster.h"

#include <stdint.h>

static void put_mirrored(FILE *out, const struct script *script)
{
	static const char *const names[] = {"done", "failed", "dropped"};
	metrics_head(out, "mirrored_total", COUNTER, "Copies of reads, by what became of them.");
	for (size_t i = 0; i < script_cluster_count(script); i++) {
		const struct script_cluster *c = script_cluster_at(script, i);
		const struct mirror_counts *m = &c->cluster->mirrored;
		const uint64_t values[] = {m->done, m->failed, m->dropped};
		for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
			fputs("moongate_mirrored_total{", out);
			metrics_label(out, "cluster", c->database);
			fprintf(out, ",result=\"%s\"}", names[k]);
			metrics_value(out, (double)values[k]);
		}
	}
}

static void put_rules(FILE *out, const struct script *script)
{
	metrics_head(out, "policy_rule_hits_total", COUNTER, "Verdicts by the rule that decided.");
	for (size_t i = 0; i < script_cluster_count(script); i++) {
		const struct script_cluster *c = script_cluster_at(script, i);
		for (const struct policy_rule *r = NULL; (r = policy_rule_after(c->policy, r));) {
			fputs("moongate_policy_rule_hits_total{", out);
			metrics_label(out, "cluster", c->database);
			fputc(',', out);
			metrics_label(out, "rule", r->name);
			fputc('}', out);
			metrics_value(out, (double)r->hits);
		}
	}
}

static void put_shadows(FILE *out, const struct script *script)
{
	static const char *const names[] = {"same", "different", "failed"};
	metrics_head(out, "shadow_verdicts_total", COUNTER,
	             "Answers of a shadow policy, by how they compare to the policy's.");
	for (size_t i = 0; i < script_cluster_count(script); i++) {
		const struct script_cluster *c = script_cluster_at(script, i);
		if (!c->shadow)
			continue;
		const struct shadow_counts *s = shadow_counts(c->shadow);
		const uint64_t values[] = {s->same, s->different, s->failed};
		for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
			fputs("moongate_shadow_verdicts_total{", out);
			metrics_label(out, "cluster", c->database);
			fprintf(out, ",result=\"%s\"}", names[k]);
			metrics_value(out, (double)values[k]);
		}
	}
}

void metrics_policies(FILE *out, const struct script *script)
{
	put_mirrored(out, script);
	put_rules(out, script);
	put_shadows(out, script);
}
