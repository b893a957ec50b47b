/* test_route_consider.c - what an operator is told of each endpoint. Nothing connects. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/clock.h"
#include "cluster/cluster.h"
#include "cluster/resolver.h"
#include "cluster/route_consider.h"
#include "cluster/simulate.h"

#include <stdio.h>
#include <string.h>

enum { A, B, C, ENDPOINTS };

struct fixture {
	struct context context;
	struct cluster *cluster;
	struct demand demand;
	char told[1024];
};

static int set_up(void **state)
{
	static struct fixture f;
	char error[256] = "";
	struct endpoint_config endpoints[ENDPOINTS] = {
	        {.url = "postgres://u@127.0.0.1:1/d", .name = "a", .role = ROLE_PRIMARY},
	        {.url = "postgres://u@127.0.0.1:2/d", .name = "b", .region = "eu"},
	        {.url = "postgres://u@127.0.0.1:3/d", .name = "c", .region = "us"}};
	for (int i = 0; i < ENDPOINTS; i++) {
		endpoints[i].weight = i == C ? 3 : 1;
		endpoints[i].role = i == A ? ROLE_PRIMARY : ROLE_REPLICA;
	}
	struct cluster_config config = {.endpoints = endpoints,
	                                .endpoint_count = ENDPOINTS,
	                                .pool = POOL_DEFAULTS,
	                                .health = HEALTH_DEFAULTS,
	                                .breaker = BREAKER_DEFAULTS};
	f = (struct fixture){.context = {.loop = ev_loop_new(0), .log.level = LOG_OFF}};
	f.context.resolver = resolver_new(&f.context);
	f.cluster = cluster_new(&f.context, &config, error, sizeof error);
	assert_string_equal(error, "");
	cluster_simulate(f.cluster);
	f.demand = (struct demand){.now = clock_now(), .last_write = -INFINITY};
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	cluster_free(f->cluster);
	resolver_free(f->context.resolver);
	ev_loop_destroy(f->context.loop);
	return 0;
}

static void simulate(struct fixture *f, unsigned index, const char *what)
{
	char wrong[256];
	assert_true(endpoint_simulate(f->cluster->endpoints[index], what, wrong, sizeof wrong));
}

static void note(const struct endpoint *e, bool taken, const char *why, void *arg)
{
	struct fixture *f = arg;
	size_t used = strlen(f->told);
	snprintf(f->told + used, sizeof f->told - used, "%s%s: %s\n", taken ? "+" : "-", e->name,
	         why);
}

static const char *tell(struct fixture *f, const struct route_config *config)
{
	struct route *route = route_new(f->cluster, config);
	assert_non_null(route);
	*f->told = '\0';
	route_consider(route, &f->demand, route_pick(route, &f->demand), note, f);
	return f->told;
}

static const struct route_config replicas = {
        .to = TO_REPLICAS, .consistency = CONSISTENCY_READ_YOUR_WRITES, .fallback_primary = true};

static bool says(struct fixture *f, const struct route_config *config, const char *what)
{
	if (strstr(tell(f, config), what))
		return true;
	print_message("not \"%s\" but\n%s", what, f->told);
	return false;
}

static void shares_are_by_weight(void **state)
{
	struct fixture *f = *state;
	tell(f, &replicas);
	assert_non_null(strstr(f->told, "-a: a primary, and the route leads to replicas\n"));
	assert_non_null(strstr(f->told, "b: "));
	assert_non_null(strstr(f->told, "weight 1 of 4, 25 % (by weight)\n"));
	assert_non_null(strstr(f->told, "weight 3 of 4, 75 % (by weight)\n"));
	assert_non_null(strstr(f->told, ": would do as well: weight"));
}

static void who_is_not_there_is_passed_over(void **state)
{
	struct fixture *f = *state;
	simulate(f, B, "down");
	assert_true(says(f, &replicas, "-b: down: simulated\n+c: the only one that will do\n"));
	simulate(f, C, "drained");
	assert_true(says(f, &replicas, "+a: the fallback: nothing else will do\n"));
	assert_true(says(f, &replicas, "-c: drained\n"));
	simulate(f, A, "down");
	assert_true(says(f, &replicas, "-a: a primary, and the route leads to replicas\n"));
	assert_null(strchr(f->told, '+'));
}

static void who_is_behind_is_passed_over(void **state)
{
	struct fixture *f = *state;
	struct route_config config = replicas;
	simulate(f, B, "lag=4");
	f->demand.last_write = f->demand.now - 1;
	assert_true(says(f, &replicas, "-b: stale: 3 s behind what the session wrote\n"));
	config.max_lag = 1;
	f->demand.last_write = -INFINITY;
	assert_true(says(f, &config, "-b: lag 4 s is over max_lag 1 s\n"));
	config.consistency = CONSISTENCY_BOUNDED;
	config.max_staleness = 2;
	assert_true(says(f, &config, "-b: stale: 4 s is over max_staleness 2 s\n"));
	const struct need need = {.after = {1, 100}};
	f->demand.need = &need;
	assert_true(says(f, &config, "-c: stale: it has not reached 1/0/64\n"));
}

static void regions_names_and_weights_leave_some_out(void **state)
{
	struct fixture *f = *state;
	struct route_config config = {.to = TO_REGION, .region = "eu"};
	assert_true(says(f, &config,
	                 "-a: not in region eu\n+b: the only one that will do\n"
	                 "-c: not in region eu\n"));
	config = (struct route_config){.to = TO_REPLICAS, .prefer = "us"};
	assert_true(says(f, &config, "-b: another region is preferred: us\n+c: the only one"));
	config = (struct route_config){.to = TO_NAMED, .named = 1u << B};
	assert_true(says(f, &config, "-c: the route names others\n"));
	simulate(f, B, "weight=0");
	assert_true(says(f, &replicas, "-b: weight 0\n"));
}

static void an_open_breaker_is_heeded_while_another_will_do(void **state)
{
	struct fixture *f = *state;
	const struct route_config config = {.to = TO_REPLICAS};
	f->cluster->endpoints[B]->breaker =
	        (struct breaker){.state = BREAKER_OPEN, .until = INFINITY};
	assert_true(says(f, &config, "-b: its breaker is open\n+c: the only one that will do\n"));
	simulate(f, C, "down");
	assert_true(says(f, &config, "+b: its breaker is open, but nothing else will do\n"));
}

static void the_primary_is_told_of_where_it_is_needed(void **state)
{
	struct fixture *f = *state;
	const struct route_config writes = {.to = TO_PRIMARY};
	struct route_config strong = replicas;
	strong.consistency = CONSISTENCY_STRONG;
	assert_true(says(f, &writes,
	                 "+a: the primary, where the route leads\n"
	                 "-b: a replica, and the route leads to the primary\n"));
	assert_true(says(f, &strong,
	                 "+a: consistency strong: the primary\n"
	                 "-b: a replica, and consistency is strong\n"));
	simulate(f, B, "primary");
	assert_true(says(f, &writes, "-a: on a timeline that was left\n+b: the primary"));
	simulate(f, B, "read_only");
	assert_true(says(f, &writes, "-b: the primary is read-only"));
}

static void what_the_policy_names_is_told_of(void **state)
{
	struct fixture *f = *state;
	endpoint_consider(f->cluster->endpoints[B], &f->demand, f->cluster->endpoints[B], note, f);
	assert_string_equal(f->told, "-a: the policy names another\n+b: the policy names it\n"
	                             "-c: the policy names another\n");
}

static void a_simulation_ends_as_if_it_had_not_been(void **state)
{
	struct fixture *f = *state;
	simulate(f, B, "down");
	simulate(f, C, "lag=7");
	struct simulation *s = cluster_simulate_begin(f->cluster);
	assert_non_null(s);
	assert_true(health_usable(&f->cluster->endpoints[B]->health));
	assert_near(f->cluster->endpoints[C]->lag, 0);
	cluster_simulate_end(f->cluster, s);
	assert_false(health_usable(&f->cluster->endpoints[B]->health));
	assert_string_equal(f->cluster->endpoints[B]->last_error, "simulated");
	assert_near(f->cluster->endpoints[C]->lag, 7);
	assert_int_equal(f->cluster->topology, TOPOLOGY_PRIMARY);
}

static void routes_lead_alike_whatever_they_are_called(void **state)
{
	struct fixture *f = *state;
	struct route_config config = replicas;
	const struct route *a = route_new(f->cluster, &config);
	config.name = "mine";
	config.balance = BALANCE_LATENCY;
	assert_true(route_leads_alike(a, route_new(f->cluster, &config)));
	config.prefer = "eu";
	assert_false(route_leads_alike(a, route_new(f->cluster, &config)));
	config = (struct route_config){.to = TO_NAMED, .names = "b\0c\0"};
	a = route_new(f->cluster, &config);
	assert_true(route_leads_alike(a, route_new(f->cluster, &config)));
	config.names = "b\0";
	assert_false(route_leads_alike(a, route_new(f->cluster, &config)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	        TEST(shares_are_by_weight),
	        TEST(who_is_not_there_is_passed_over),
	        TEST(who_is_behind_is_passed_over),
	        TEST(regions_names_and_weights_leave_some_out),
	        TEST(an_open_breaker_is_heeded_while_another_will_do),
	        TEST(the_primary_is_told_of_where_it_is_needed),
	        TEST(what_the_policy_names_is_told_of),
	        TEST(a_simulation_ends_as_if_it_had_not_been),
	        TEST(routes_lead_alike_whatever_they_are_called),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
