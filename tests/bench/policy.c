/* policy.c - what a policy costs per query, fence and all: nanoseconds of CPU time, the best of
 * several runs.
 *
 * Build and run with `make bench-policy`. */
/* SPDX-License-Identifier: MIT */
#include "script/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

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

static struct script *load(struct context *context, const char *body)
{
	char path[] = "/tmp/moongate-bench-XXXXXX", error[256];
	int fd = mkstemp(path);
	if (fd < 0)
		exit(1);
	dprintf(fd,
	        "local moongate = require 'moongate' local rules = require 'moongate.rules' "
	        "local first, when, to, limit = rules.first, rules.when, rules.to, rules.limit "
	        "return moongate.router { listen = '[::1]:0', "
	        "cluster = moongate.cluster { primary = 'postgres://localhost:1', "
	        "replicas = { 'postgres://localhost:2', 'postgres://localhost:3' }, "
	        "policy = function(cluster) "
	        "local reads = cluster:route { to = 'replicas' } "
	        "local writes = cluster:route { to = 'primary' } "
	        "local primary, replicas = cluster.primary, cluster.replicas "
	        "%s end } }",
	        body);
	close(fd);
	struct script_options options = {.lua_path = "lua/?.lua;lua/?/init.lua"};
	struct script *script = script_load(context, path, &options, error, sizeof error);
	unlink(path);
	if (!script) {
		fprintf(stderr, "%s\n", error);
		exit(1);
	}
	return script;
}

static double cpu_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

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
		struct script *script = load(&context, bodies[i][1]);
		printf("%-45s %6.1f ns\n", bodies[i][0],
		       measure(script_cluster_at(script, 0)->policy));
		script_free(script);
	}
	ev_loop_destroy(context.loop);
	return 0;
}
