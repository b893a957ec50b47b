/* classify.c - what it costs to say what a statement is, and the worst that a statement can cost.
 *
 * `make bench-classify`. CPU time of the thread, as others may be busy: medians of runs of many for
 * what is usual, the best of three for the worst. */
/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "sql/catalog_builder.h"
#include "sql/classifier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS  9
#define CALLS 200000

static const char *const typical[] = {
        "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;",
        "UPDATE pgbench_accounts SET abalance = abalance + -123 WHERE aid = 77;",
        "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, 4, "
        "CURRENT_TIMESTAMP);",
        "SELECT * FROM t WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)",
        "SELECT o.id, c.name, sum(i.price * i.quantity) AS total FROM orders o JOIN customers c ON "
        "c.id = o.customer_id JOIN items i ON i.order_id = o.id LEFT JOIN refunds r ON r.order_id "
        "= o.id WHERE o.created_at > now() - interval '7 days' AND c.region = 'eu' AND r.id IS "
        "NULL GROUP BY o.id, c.name HAVING sum(i.price) > 100 ORDER BY total DESC LIMIT 20",
        "BEGIN",
        "SET search_path = app, public",
        "SELECT id FROM orders WHERE id = $1 "
        "/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',app='shop'*/",
};

/* `unit` is repeated as often as makes the text about `size` long. */
static const struct worst {
	const char *name, *before, *unit, *after;
} worst[] = {
        {"parentheses", "select ", "(", "1"},
        {"list", "select 1 where 1 in (1", ",1", ")"},
        {"columns", "select a", ",a", ""},
        {"terms", "select 1", "+1", ""},
        {"unions", "select", " union select", ""},
        {"statements", "", "select;", ""},
        {"cases", "select case", " when a then a", " end"},
        {"warnings", "", "create global temp table a();", ""},
        {"functions", "select a()", ",a()", ""},
        {"ctes", "with a as (select)", ",a as (select from a)", "select"},
        {"plus signs", "select 1", "+", "1"},
        {"comment starts", "select 1", "/*", "1"},
        {"star slashes", "select /*", "/", "*/ 1"},
        {"string", "select '", "a", "'"},
        {"escapes", "select E'", "\\n", "'"},
        {"quotes", "select '", "''", "'"},
        {"strings", "select ''", ",''", ""},
        {"dollars", "select $$", "$", "$$"},
        {"tags", "select ", "$a", ""},
        {"name", "select ", "a", ""},
        {"quoted names", "select \"a\"", ",\"a\"", ""},
        {"spaces", "select", " ", "1"},
        {"comment", "select /*", "a", "*/ 1"},
        {"line comments", "select ", "--\n", "1"},
        {"bytes", "select ", "\x01", ""},
};

static double hit(struct classifier *c, const struct catalog *catalog, const char *sql)
{
	double times[RUNS];
	size_t size = strlen(sql);
	for (int run = 0; run < RUNS; run++) {
		double start = cpu_now();
		for (int i = 0; i < CALLS; i++)
			classifier_facts(c, catalog, sql, size, true);
		times[run] = (cpu_now() - start) / CALLS;
	}
	return median(times, RUNS);
}

/* A cache of one entry, asked for two statements in turn, never hits. */
static double miss(const struct catalog *catalog, const char *sql)
{
	struct classifier *c = classifier_new(1);
	size_t size = strlen(sql);
	double start = cpu_now(), other = 0;
	for (int i = 0; i < CALLS / 100; i++) {
		classifier_facts(c, catalog, sql, size, true);
		double before = cpu_now();
		classifier_facts(c, catalog, "end", 3, true);
		other += cpu_now() - before;
	}
	classifier_free(c);
	return (cpu_now() - start - other) / (CALLS / 100);
}

static char *repeated(const struct worst *w, size_t size)
{
	size_t before = strlen(w->before), unit = strlen(w->unit), after = strlen(w->after);
	size_t count = size / unit;
	char *text = malloc(before + count * unit + after + 1), *at = text;
	at = mempcpy(at, w->before, before);
	for (size_t i = 0; i < count; i++)
		at = mempcpy(at, w->unit, unit);
	memcpy(at, w->after, after + 1);
	return text;
}

/* The best of three. */
static double first_time(const char *text, const char **kind)
{
	double best = 1e9;
	for (int run = 0; run < 3; run++) {
		struct classifier *c = classifier_new(16);
		double start = cpu_now();
		*kind = sql_kind_name(classifier_facts(c, NULL, text, strlen(text), true)->kind);
		double time = cpu_now() - start;
		best = time < best ? time : best;
		classifier_free(c);
	}
	return best;
}

/* The longest of the times for texts of many sizes. */
static void report_worst(const struct worst *w)
{
	double longest = 0;
	size_t longest_size = 0;
	const char *outcome = "", *kind;
	for (size_t size = 256; size <= ((size_t)16 << 20); size = size * 5 / 4) {
		char *text = repeated(w, size);
		double time = first_time(text, &kind);
		if (time > longest) {
			longest = time;
			longest_size = size;
			outcome = kind;
		}
		free(text);
	}
	printf("%-16s %8.2f ms  at %9zu bytes, %s\n", w->name, longest * 1e3, longest_size,
	       outcome);
}

/* One of 10,000 functions. */
static struct catalog *make_catalog(void)
{
	struct catalog_builder *b = catalog_builder_new(NULL);
	char name[32];
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "function_%d", i);
		const struct catalog_row row = {.kind = 'f',
		                                .schema = "public",
		                                .name = name,
		                                .flags = i % 2 ? "vC" : "sC"};
		catalog_builder_add(b, &row);
	}
	while (catalog_builder_step(b))
		continue;
	struct catalog *catalog = catalog_builder_finish(b);
	catalog_builder_free(b);
	return catalog;
}

int main(void)
{
	struct classifier *c = classifier_new(1000);
	struct catalog *catalog = make_catalog();
	printf("%8s %8s\n", "hit, us", "miss, us");
	for (size_t i = 0; i < sizeof(typical) / sizeof(typical[0]); i++)
		printf("%8.3f %8.2f  %.60s\n", hit(c, catalog, typical[i]) * 1e6,
		       miss(catalog, typical[i]) * 1e6, typical[i]);
	classifier_free(c);
	catalog_free(catalog);
	printf("\nthe longest that one statement took:\n");
	for (size_t i = 0; i < sizeof(worst) / sizeof(worst[0]); i++)
		report_worst(&worst[i]);
	return 0;
}
