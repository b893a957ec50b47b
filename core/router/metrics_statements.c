/* metrics_statements.c - /metrics: what statements have cost, on each endpoint, and those few that
 * have cost most. */
/* SPDX-License-Identifier: MIT */
#include "cluster/statistics.h"
#include "router/metrics.h"

#include <inttypes.h>
#include <math.h>

#define LISTED 20 /* statements of a cluster: each is a time series of its own */

struct tally_metric {
	const char *name, *help;
	double (*value)(const struct tally *tally);
};

static double calls(const struct tally *t)
{
	return (double)t->calls;
}

static double errors(const struct tally *t)
{
	return (double)t->errors;
}

static double rows(const struct tally *t)
{
	return (double)t->rows;
}

static double total(const struct tally *t)
{
	return t->total;
}

typedef void endpoint_fn(FILE *out, const struct script_cluster *c, const struct endpoint *e,
                         const struct tally_metric *m);

static void each_endpoint(FILE *out, const struct script *script, endpoint_fn *fn,
                          const struct tally_metric *m)
{
	for (size_t i = 0; i < script_cluster_count(script); i++) {
		const struct script_cluster *c = script_cluster_at(script, i);
		for (size_t k = 0; k < c->cluster->endpoint_count; k++)
			if (!c->cluster->endpoints[k]->absent)
				fn(out, c, c->cluster->endpoints[k], m);
	}
}

static const struct tally *tally_of(const struct endpoint *e)
{
	return statistics_on(e->cluster->statistics, e->index);
}

#define DURATION "query_duration_seconds"

static void put_durations(FILE *out, const struct script_cluster *c, const struct endpoint *e,
                          const struct tally_metric *m)
{
	static const char *const quantiles[] = {"0.5", "0.95", "0.99"};
	static const double shares[] = {0.5, 0.95, 0.99};
	const struct tally *t = tally_of(e);
	(void)m;
	for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
		metrics_names(out, DURATION, c, e);
		fprintf(out, ",quantile=\"%s\"}", quantiles[i]);
		metrics_value(out, t->calls ? histogram_quantile(&t->times, shares[i]) : NAN);
	}
	metrics_names(out, DURATION "_sum", c, e);
	fputc('}', out);
	metrics_value(out, t->total);
	metrics_names(out, DURATION "_count", c, e);
	fputc('}', out);
	metrics_value(out, (double)t->calls);
}

static void put_endpoint(FILE *out, const struct script_cluster *c, const struct endpoint *e,
                         const struct tally_metric *m)
{
	metrics_names(out, m->name, c, e);
	fputc('}', out);
	metrics_value(out, m->value(tally_of(e)));
}

static const struct tally_metric of_endpoint[] = {
        {"query_errors_total", "Those of them that were answered with an error.", errors},
        {"query_rows_total", "Rows that they returned or changed.", rows},
};

static const struct tally_metric of_statement[] = {
        {"statement_seconds_total", "Time of the statements that took most, by fingerprint.",
         total},
        {"statement_calls_total", "How often they ran.", calls},
        {"statement_errors_total", "How often they failed.", errors},
        {"statement_rows_total", "Rows that they returned or changed.", rows},
};

static void put_statements(FILE *out, const struct script_cluster *c, const struct tally_metric *m)
{
	const struct statement_tally *list[STATISTICS_STATEMENTS];
	size_t count = statistics_list(c->cluster->statistics, list);
	for (size_t i = 0; i < count && i < LISTED; i++) {
		fprintf(out, "moongate_%s{", m->name);
		metrics_label(out, "cluster", c->database);
		fprintf(out, ",fingerprint=\"%016" PRIx64 "\"}", list[i]->fingerprint);
		metrics_value(out, m->value(&list[i]->all));
	}
}

void metrics_statements(FILE *out, const struct script *script)
{
	metrics_head(out, DURATION, SUMMARY, "Queries, from being sent until answered.");
	each_endpoint(out, script, put_durations, NULL);
	for (size_t i = 0; i < sizeof of_endpoint / sizeof *of_endpoint; i++) {
		metrics_head(out, of_endpoint[i].name, COUNTER, of_endpoint[i].help);
		each_endpoint(out, script, put_endpoint, &of_endpoint[i]);
	}
	for (size_t i = 0; i < sizeof of_statement / sizeof *of_statement; i++) {
		metrics_head(out, of_statement[i].name, COUNTER, of_statement[i].help);
		for (size_t k = 0; k < script_cluster_count(script); k++)
			put_statements(out, script_cluster_at(script, k), &of_statement[i]);
	}
}
