/* test_endpoint.c - what answers to probes, and signs from traffic, make of an endpoint. Nothing
 * connects: the answers are made up. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/clock.h"
#include "cluster/cluster.h"
#include "cluster/pool.h"
#include "cluster/resolver.h"

#include <string.h>

enum { A, B, C, ENDPOINTS };

struct fixture {
	struct context context;
	struct cluster *cluster;
	struct endpoint **e;
};

static int set_up(void **state)
{
	static struct fixture f;
	char error[256] = "";
	const struct endpoint_config endpoints[ENDPOINTS] = {{.url = "postgres://u@127.0.0.1:1/d",
	                                                      .name = "a",
	                                                      .weight = 1,
	                                                      .role = ROLE_PRIMARY},
	                                                     {.url = "postgres://u@127.0.0.1:2/d",
	                                                      .name = "b",
	                                                      .weight = 1,
	                                                      .role = ROLE_REPLICA},
	                                                     {.url = "postgres://u@127.0.0.1:3/d",
	                                                      .name = "c",
	                                                      .weight = 1,
	                                                      .role = ROLE_REPLICA}};
	struct cluster_config config = {.endpoints = endpoints,
	                                .endpoint_count = ENDPOINTS,
	                                .pool = POOL_DEFAULTS,
	                                .health = HEALTH_DEFAULTS,
	                                .breaker = BREAKER_DEFAULTS};
	f = (struct fixture){.context = {.loop = ev_loop_new(0), .log.level = LOG_OFF}};
	f.context.resolver = resolver_new(&f.context);
	f.cluster = cluster_new(&f.context, &config, error, sizeof error);
	assert_string_equal(error, "");
	f.e = f.cluster->endpoints;
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

static struct answer answer(enum role role, uint32_t timeline, uint64_t position)
{
	return (struct answer){.role = role,
	                       .timeline = timeline,
	                       .position = position,
	                       .system = 11,
	                       .started = 1000.25,
	                       .sent = clock_now(),
	                       .latency = 0.001};
}

static void say(struct endpoint *e, struct answer a)
{
	endpoint_answered(e, &a);
}

/* All is well: one primary, and two replicas that have all that it has. */
static void all_answer(struct fixture *f)
{
	say(f->e[A], answer(ROLE_PRIMARY, 1, 1000));
	say(f->e[B], answer(ROLE_REPLICA, 1, 1000));
	say(f->e[C], answer(ROLE_REPLICA, 1, 1000));
}

static struct endpoint *pick_for(struct fixture *f, struct route *route, double last_write)
{
	(void)f;
	return route_pick(route, &(struct demand){.now = clock_now(), .last_write = last_write});
}

static struct endpoint *pick_write(struct fixture *f)
{
	return pick_for(f, f->cluster->default_write, -INFINITY);
}

static void is_fresh_when_it_has_what_the_primary_had(void **state)
{
	struct fixture *f = *state;
	double before = clock_now();
	all_answer(f);
	assert_true(f->e[B]->fresh_as_of >= before);
	assert_ptr_equal(cluster_primary(f->cluster), f->e[A]);
	assert_ptr_equal(pick_write(f), f->e[A]);
}

static void a_restart_makes_what_was_known_void(void **state)
{
	struct fixture *f = *state;
	all_answer(f);
	unsigned before = f->e[B]->incarnation;
	struct answer back = answer(ROLE_REPLICA, 1, 1000);
	back.started += 0.5;
	say(f->e[B], back);
	assert_int_not_equal(f->e[B]->incarnation, before);
	before = f->e[B]->incarnation;
	back.started += 0.5;
	back.position = 400;
	say(f->e[B], back);
	assert_int_not_equal(f->e[B]->incarnation, before);
	assert_near(f->e[B]->fresh_as_of, -INFINITY);
}

/* After a crash of one of its processes the postmaster is the same. */
static void so_does_a_position_that_goes_back(void **state)
{
	struct fixture *f = *state;
	all_answer(f);
	unsigned before = f->e[B]->incarnation;
	say(f->e[B], answer(ROLE_REPLICA, 1, 999));
	assert_int_not_equal(f->e[B]->incarnation, before);
	assert_near(f->e[B]->fresh_as_of, -INFINITY);
}

static void so_do_a_lost_server_and_a_failure_until_the_next_answer(void **state)
{
	struct fixture *f = *state;
	for (int lost = 0; lost < 2; lost++) {
		all_answer(f);
		unsigned before = f->e[B]->incarnation;
		if (lost)
			endpoint_suspect(f->e[B]);
		else
			endpoint_report(f->e[B], false, "it does not answer");
		assert_int_not_equal(f->e[B]->incarnation, before);
		assert_near(f->e[B]->fresh_as_of, -INFINITY);
		before = f->e[B]->incarnation;
		say(f->e[B], answer(ROLE_REPLICA, 1, 1000));
		assert_int_equal(f->e[B]->incarnation, before);
		assert_true(isfinite(f->e[B]->fresh_as_of));
	}
}

static void an_answer_as_before_changes_nothing(void **state)
{
	struct fixture *f = *state;
	all_answer(f);
	unsigned before = f->e[B]->incarnation;
	all_answer(f);
	say(f->e[B], answer(ROLE_REPLICA, 1, 2000));
	assert_int_equal(f->e[B]->incarnation, before);
	assert_true(isfinite(f->e[B]->fresh_as_of));
}

static void a_promoted_replica_is_the_primary_at_its_next_answer(void **state)
{
	struct fixture *f = *state;
	all_answer(f);
	say(f->e[C], answer(ROLE_PRIMARY, 2, 1100));
	assert_ptr_equal(pick_write(f), f->e[C]);
	assert_int_equal(f->e[A]->standing, STANDING_DOUBTFUL);
	assert_int_equal(f->e[B]->standing, STANDING_DOUBTFUL);
	say(f->e[B], answer(ROLE_REPLICA, 2, 1100));
	assert_int_equal(f->e[B]->standing, STANDING_FINE);
	assert_true(isfinite(f->e[B]->fresh_as_of));
}

static void who_follows_a_timeline_that_was_left_serves_eventual_reads_only(void **state)
{
	struct fixture *f = *state;
	struct route *eventual =
	        route_new(f->cluster, &(struct route_config){.to = TO_REPLICAS,
	                                                     .consistency = CONSISTENCY_EVENTUAL});
	struct route *any = route_new(
	        f->cluster,
	        &(struct route_config){.to = TO_ANY, .consistency = CONSISTENCY_READ_YOUR_WRITES});
	all_answer(f);
	say(f->e[C], answer(ROLE_PRIMARY, 2, 1100));
	for (int i = 0; i < 50; i++) {
		assert_ptr_equal(pick_for(f, f->cluster->default_read, -INFINITY), f->e[C]);
		assert_ptr_equal(pick_for(f, any, -INFINITY), f->e[C]); /* not the old primary */
		assert_ptr_equal(pick_for(f, eventual, -INFINITY), f->e[B]);
	}
	assert_near(endpoint_staleness(f->e[A], clock_now()), INFINITY);
}

static void a_split_refuses_and_ends(void **state)
{
	struct fixture *f = *state;
	all_answer(f);
	assert_null(cluster_refusal(f->cluster));
	say(f->e[C], answer(ROLE_PRIMARY, 1, 1100));
	assert_null(pick_write(f));
	assert_null(cluster_primary(f->cluster));
	assert_non_null(cluster_refusal(f->cluster));
	say(f->e[C], answer(ROLE_REPLICA, 1, 1100));
	assert_ptr_equal(pick_write(f), f->e[A]);
	assert_null(cluster_refusal(f->cluster));
}

static void a_read_only_primary_is_read_all_the_same(void **state)
{
	struct fixture *f = *state;
	struct answer a = answer(ROLE_PRIMARY, 1, 1000);
	struct route *strong =
	        route_new(f->cluster, &(struct route_config){.to = TO_REPLICAS,
	                                                     .consistency = CONSISTENCY_STRONG});
	all_answer(f);
	a.read_only = true;
	say(f->e[A], a);
	assert_null(pick_write(f));
	assert_ptr_equal(pick_for(f, strong, -INFINITY), f->e[A]);
	assert_ptr_equal(pick_for(f, f->cluster->default_read, INFINITY), f->e[A]);
	say(f->e[A], answer(ROLE_PRIMARY, 1, 1000));
	assert_ptr_equal(pick_write(f), f->e[A]);
}

static void the_cluster_follows_its_primary_into_another_system(void **state)
{
	struct fixture *f = *state;
	struct answer other = answer(ROLE_PRIMARY, 1, 10);
	other.system = 22;
	all_answer(f);
	say(f->e[A], other); /* after pg_upgrade */
	assert_ptr_equal(pick_write(f), f->e[A]);
	assert_int_equal(f->e[B]->standing, STANDING_FOREIGN);
	other.role = ROLE_REPLICA;
	say(f->e[B], other);
	assert_int_equal(f->e[B]->standing, STANDING_FINE);
}

static void nobody_else_leads_it_there(void **state)
{
	struct fixture *f = *state;
	struct answer other = answer(ROLE_PRIMARY, 9, 10);
	struct route *any = route_new(f->cluster, &(struct route_config){.to = TO_ANY});
	other.system = 22;
	all_answer(f);
	say(f->e[C], other);
	assert_ptr_equal(pick_write(f), f->e[A]);
	assert_int_equal(f->e[C]->standing, STANDING_FOREIGN);
	for (int i = 0; i < 50; i++)
		assert_ptr_not_equal(pick_for(f, any, -INFINITY), f->e[C]);
}

static void fail_traffic(struct endpoint *e)
{
	for (int i = 0; i < 5; i++)
		endpoint_failed(e);
	assert_int_equal(e->breaker.state, BREAKER_OPEN);
}

static void an_open_breaker_sends_reads_elsewhere_while_there_is_elsewhere(void **state)
{
	struct fixture *f = *state;
	struct route *bare = route_new(f->cluster, &(struct route_config){.to = TO_REPLICAS});
	struct route *reads = f->cluster->default_read;
	all_answer(f);
	fail_traffic(f->e[B]);
	for (int i = 0; i < 50; i++)
		assert_ptr_equal(pick_for(f, reads, -INFINITY), f->e[C]);
	fail_traffic(f->e[C]);
	assert_ptr_equal(pick_for(f, reads, -INFINITY), f->e[A]);
	assert_non_null(pick_for(f, bare, -INFINITY));
	fail_traffic(f->e[A]);
	assert_ptr_equal(pick_write(f), f->e[A]);
}

static void coming_back_closes_the_breaker(void **state)
{
	struct fixture *f = *state;
	all_answer(f);
	fail_traffic(f->e[B]);
	for (int i = 0; i < 3; i++)
		endpoint_report(f->e[B], false, "gone");
	assert_int_equal(f->e[B]->health.state, HEALTH_DOWN);
	say(f->e[B], answer(ROLE_REPLICA, 1, 1000));
	assert_int_equal(f->e[B]->breaker.state, BREAKER_OPEN);
	say(f->e[B], answer(ROLE_REPLICA, 1, 1000));
	assert_int_equal(f->e[B]->health.state, HEALTH_UP);
	assert_int_equal(f->e[B]->breaker.state, BREAKER_CLOSED);
}

static void an_endpoint_that_is_back_gets_little_at_first(void **state)
{
	struct fixture *f = *state;
	unsigned got = 0;
	all_answer(f);
	for (int i = 0; i < 3; i++)
		endpoint_report(f->e[B], false, "gone");
	say(f->e[B], answer(ROLE_REPLICA, 1, 1000));
	say(f->e[B], answer(ROLE_REPLICA, 1, 1000));
	for (int i = 0; i < 1000; i++)
		got += pick_for(f, f->cluster->default_read, -INFINITY) == f->e[B];
	assert_in_range(got, 30, 200); /* 1 of 11 */
}

static void drained_it_gets_nothing(void **state)
{
	struct fixture *f = *state;
	all_answer(f);
	endpoint_drain(f->e[B], true);
	for (int i = 0; i < 50; i++)
		assert_ptr_equal(pick_for(f, f->cluster->default_read, -INFINITY), f->e[C]);
	endpoint_drain(f->e[C], true);
	assert_ptr_equal(pick_for(f, f->cluster->default_read, -INFINITY), f->e[A]);
	endpoint_drain(f->e[A], true);
	assert_null(pick_write(f));
	assert_true(cluster_searches(f->cluster, clock_now()));
	endpoint_drain(f->e[A], false);
	assert_ptr_equal(pick_write(f), f->e[A]);
}

static void the_primary_is_searched_for_while_it_is_not_well_but_not_for_ever(void **state)
{
	struct fixture *f = *state;
	all_answer(f);
	assert_false(cluster_searches(f->cluster, clock_now()));
	endpoint_suspect(f->e[A]);
	assert_true(cluster_searches(f->cluster, clock_now()));
	assert_false(cluster_searches(f->cluster, clock_now() + 61));
	say(f->e[A], answer(ROLE_PRIMARY, 1, 1000));
	assert_false(cluster_searches(f->cluster, clock_now()));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        TEST(is_fresh_when_it_has_what_the_primary_had),
	        TEST(a_restart_makes_what_was_known_void),
	        TEST(so_does_a_position_that_goes_back),
	        TEST(so_do_a_lost_server_and_a_failure_until_the_next_answer),
	        TEST(an_answer_as_before_changes_nothing),
	        TEST(a_promoted_replica_is_the_primary_at_its_next_answer),
	        TEST(who_follows_a_timeline_that_was_left_serves_eventual_reads_only),
	        TEST(a_split_refuses_and_ends),
	        TEST(a_read_only_primary_is_read_all_the_same),
	        TEST(the_cluster_follows_its_primary_into_another_system),
	        TEST(nobody_else_leads_it_there),
	        TEST(an_open_breaker_sends_reads_elsewhere_while_there_is_elsewhere),
	        TEST(coming_back_closes_the_breaker),
	        TEST(an_endpoint_that_is_back_gets_little_at_first),
	        TEST(drained_it_gets_nothing),
	        TEST(the_primary_is_searched_for_while_it_is_not_well_but_not_for_ever),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
