/* policy.c - what a policy costs per query, fence and all: nanoseconds of CPU time, the best of
 * several runs.
 *
 * Build and run with `make bench-policy`. */
/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "bench_script.h"

#define CALLS          2000000
#define RUNS           7

#define FUNCTION(body) "return function(query) " body " end"

static const char *const bodies[][2] = {
        {"reads query.intent, returns a route",
         FUNCTION("if query.intent == 'read' then return reads end return writes")},
        {"returns nothing (the default route)", FUNCTION("return nil")},
        {"reads the tables too",
         FUNCTION("for _, t in ipairs(query.tables) do if t == 'orders' then return writes end end "
                  "return reads")},
        {"looks at the endpoints' load",
         FUNCTION("local best = primary for _, e in ipairs(replicas) do "
                  "if e.up and e.in_flight < 10 then best = e end end return best")},
        {"one rule by intent", "return first { when { intent = 'read' }, to(reads), to(writes) }"},
        {"the tenth rule, all by user",
         "local list = {} for i = 1, 9 do list[#list + 1] = when { user = 'user' .. i } "
         "list[#list + 1] = to(writes) end "
         "list[#list + 1] = when { user = 'app' } list[#list + 1] = to(reads) "
         "return first(list)"},
        {"the second rule, the first by tables",
         "return first { when { tables = { 'orders', 'audit_log' } }, to(writes), to(reads) }"},
        {"a limit per user, then one rule",
         "return first { limit { key = 'user', rate = 1e9 }, when { intent = 'read' }, to(reads) "
         "}"},
        {"a percentage of sessions, then another rule",
         "return first { rules.percent(1e-9), to(writes), to(reads) }"},
        {"read_write_split", "return require 'moongate.policies.read_write_split' (cluster)"},
        {"least_loaded", "return require 'moongate.policies.least_loaded' (cluster)"},
        {"sticky_session", "return require 'moongate.policies.sticky_session' (cluster)"},
        {"analytics_pool", "return require 'moongate.policies.analytics_pool' (cluster)"},
};

static double measure(struct policy *policy)
{
	static const char *const tables[] = {"customers", "invoices"};
	const struct facts facts = {.intent = INTENT_READ,
	                            .kind = SQL_SELECT,
	                            .statements = 1,
	                            .tables = tables,
	                            .table_count = 2};
	struct session_facts session = {.user = "app"};
	const struct query query = {
	        .facts = &facts, .sql = "select", .sql_size = 6, .session = &session};
	double best = 1e9;
	for (int run = 0; run < RUNS; run++) {
		double start = cpu_now();
		for (int i = 0; i < CALLS; i++)
			if (policy_route(policy, &query).fallback)
				exit(1);
		double took = (cpu_now() - start) / CALLS * 1e9;
		best = took < best ? took : best;
	}
	return best;
}

int main(void)
{
	struct context context = {.log = {LOG_WARN, STDERR_FILENO},
	                          .loop = ev_loop_new(EVFLAG_AUTO)};
	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
		struct script *script = load_policy(&context, bodies[i][1]);
		printf("%-45s %6.1f ns\n", bodies[i][0],
		       measure(script_cluster_at(script, 0)->policy));
		script_free(script);
	}
	ev_loop_destroy(context.loop);
	return 0;
}
