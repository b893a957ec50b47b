/* decide.c - what it costs to decide where a query goes, step by step: nanoseconds of CPU time (the
 * median of several runs) and allocations per call.
 *
 * `make bench-decide`. Linked with --wrap for malloc(), calloc() and realloc(), so that allocations
 * are counted: ours and Lua's, not those inside of libraries. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "bench.h"
#include "bench_script.h"
#include "cluster/simulate.h"
#include "sql/classifier.h"
#include "sql/lexer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 9

static const char statement[] = "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;";
static const char five_rules[] = "return first { "
                                 "when { kind = 'truncate' }, rules.reject 'no', "
                                 "when { user = 'report' }, to(writes), "
                                 "when { intent = 'read', tables = { 'audit_log' } }, to(writes), "
                                 "when { intent = 'read' }, to(reads), "
                                 "to(writes) }";
static const char split[] = "return function(query) "
                            "if query.intent == 'read' then return reads end return writes end";

static uint64_t allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);

void *__wrap_malloc(size_t size)
{
	allocations++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	allocations++;
	return __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
	allocations++;
	return __real_realloc(block, size);
}

struct bench {
	struct classifier *classifier;
	const struct facts *facts;
	struct session_facts session;
	struct cluster *cluster;
	struct policy *policy;
	struct route *route;
};

typedef void step_fn(struct bench *b);

static void lex(struct bench *b)
{
	(void)b;
	struct lexer lexer = lexer_init(statement, sizeof statement - 1, true);
	while (lexer_next(&lexer).kind != TOKEN_END)
		continue;
}

static void hit(struct bench *b)
{
	b->facts = classifier_facts(b->classifier, NULL, statement, sizeof statement - 1, true);
}

/* With another one in between, a cache of one entry never hits. */
static void miss(struct bench *b)
{
	static const char other[] = "UPDATE pgbench_accounts SET abalance = 1 WHERE aid = 77;";
	classifier_facts(b->classifier, NULL, other, sizeof other - 1, true);
	hit(b);
}

static void ask(struct bench *b)
{
	const struct query query = {.facts = b->facts,
	                            .sql = statement,
	                            .sql_size = sizeof statement - 1,
	                            .standard_strings = true,
	                            .session = &b->session};
	const struct verdict v = policy_route(b->policy, &query);
	if (v.fallback)
		exit(1);
	b->route = v.route;
}

static void pick(struct bench *b)
{
	const struct demand demand = {.now = clock_now(), .last_write = -INFINITY};
	if (!route_pick(b->route, &demand))
		exit(1);
}

static void decide(struct bench *b)
{
	hit(b);
	ask(b);
	pick(b);
}

static void measure(const char *name, struct bench *b, step_fn *step, int calls, double share)
{
	double times[RUNS];
	step(b); /* what is made once is there */
	uint64_t before = allocations;
	for (int run = 0; run < RUNS; run++) {
		double start = cpu_now();
		for (int i = 0; i < calls; i++)
			step(b);
		times[run] = (cpu_now() - start) / calls * share * 1e9;
	}
	printf("%-44s %8.1f ns %6.2f allocations\n", name, median(times, RUNS),
	       (double)(allocations - before) / RUNS / calls * share);
}

/* Asks this policy's script: its call, and with `all` the steps that do not depend on it. */
static void measure_policy(struct context *context, const char *name, const char *policy, bool all)
{
	struct script *script = load_policy(context, policy);
	const struct script_cluster *home = script_cluster_at(script, 0);
	struct bench b = {.classifier = classifier_new(1000),
	                  .session = {.user = "app", .database = "app"},
	                  .cluster = home->cluster,
	                  .policy = home->policy};
	cluster_simulate(b.cluster);
	hit(&b);
	measure(name, &b, ask, 500000, 1);
	if (all) {
		measure("pick an endpoint, of two by weight", &b, pick, 500000, 1);
		measure("all of a decision: hit, call, pick", &b, decide, 200000, 1);
	}
	classifier_free(b.classifier);
	script_free(script);
}

int main(void)
{
	struct context context = {.log = {LOG_WARN, STDERR_FILENO},
	                          .loop = ev_loop_new(EVFLAG_AUTO)};
	struct bench b = {.classifier = classifier_new(1000)};
	measure("lex a statement of 57 bytes", &b, lex, 500000, 1);
	measure("classify it: a hit of the cache", &b, hit, 500000, 1);
	classifier_free(b.classifier);
	b.classifier = classifier_new(1);
	measure("classify it: a miss", &b, miss, 5000, 0.5);
	classifier_free(b.classifier);
	measure_policy(&context, "call a policy of five rules", five_rules, false);
	measure_policy(&context, "call read_write_split", split, true);
	ev_loop_destroy(context.loop);
	return 0;
}
