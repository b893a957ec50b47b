/* admin_statements.c - /statements: what statements have cost, those first that took most time.
 *
 * Statements are named by their fingerprints: their texts may hold secrets. */
/* SPDX-License-Identifier: MIT */
#include "cluster/statistics.h"
#include "router/admin_pages.h"
#include "router/json.h"
#include "router/worker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT 100 /* statements of a cluster, unless `?limit=N` says otherwise */

static void put_tally(FILE *out, const struct tally *t)
{
	fprintf(out, "\"calls\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"rows\":%" PRIu64, t->calls,
	        t->errors, t->rows);
	fprintf(out, ",\"total\":%.6g,\"mean\":%.6g,\"p50\":%.6g,\"p95\":%.6g,\"p99\":%.6g",
	        t->total, tally_mean(t), histogram_quantile(&t->times, 0.5),
	        histogram_quantile(&t->times, 0.95), histogram_quantile(&t->times, 0.99));
	fprintf(out, ",\"max\":%.6g", t->max);
}

static void put_statement(FILE *out, const struct cluster *c, const struct statement_tally *t)
{
	const char *comma = "";
	fprintf(out, "{\"fingerprint\":\"%016" PRIx64 "\",\"kind\":\"%s\",", t->fingerprint,
	        sql_kind_name(t->kind));
	put_tally(out, &t->all);
	fputs(",\"endpoints\":{", out);
	for (size_t i = 0; i < c->endpoint_count; i++) {
		const struct endpoint *e = c->endpoints[i];
		if (e->absent || !t->on[i])
			continue;
		fputs(comma, out);
		comma = ",";
		json_put_string(out, e->name, strlen(e->name));
		fputs(":{", out);
		put_tally(out, t->on[i]);
		fputc('}', out);
	}
	fputs("}}", out);
}

static void put_cluster(FILE *out, const struct script_cluster *c, size_t limit)
{
	const struct statement_tally *list[STATISTICS_STATEMENTS];
	size_t count = statistics_list(c->cluster->statistics, list);
	fputs("{\"cluster\":", out);
	json_put_string(out, c->database, strlen(c->database));
	fputs(",\"statements\":[", out);
	for (size_t i = 0; i < count && i < limit; i++) {
		fputs(i ? "," : "", out);
		put_statement(out, c->cluster, list[i]);
	}
	fputs("]}", out);
}

/* False: it is no number. */
static bool take_limit(const struct http_request *q, size_t *limit)
{
	const char *text = http_argument(q, "limit");
	char *end;
	*limit = LIMIT;
	if (!text)
		return true;
	*limit = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end;
}

void admin_statements(struct worker *w, const struct http_request *q, struct http_response *r)
{
	const char *only = http_argument(q, "cluster"), *comma = "";
	size_t limit;
	if (!take_limit(q, &limit)) {
		admin_say(r, 400, "error", "limit must be a number of statements, such as 100");
		return;
	}
	fputs("{\"clusters\":[", r->body);
	for (size_t i = 0; i < script_cluster_count(w->script); i++) {
		const struct script_cluster *c = script_cluster_at(w->script, i);
		if (only && strcmp(only, c->database) != 0)
			continue;
		fputs(comma, r->body);
		comma = ",";
		put_cluster(r->body, c, limit);
	}
	fputs("]}\n", r->body);
}
