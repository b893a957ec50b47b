/* test_membership.c - endpoints that join and leave. Nothing connects. */
/* SPDX-License-Identifier: MIT */
#include "cluster/membership.h"
#include "cluster/patroni.h"
#include "cluster/resolver.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

struct fixture {
	struct context context;
	struct cluster *cluster;
};

static int set_up(void **state)
{
	static struct fixture f;
	static const char *const urls[] = {"http://127.0.0.1:1"};
	char error[256] = "";
	const struct patroni_config patroni = {.urls = urls,
	                                       .url_count = 1,
	                                       .connect = "postgres://",
	                                       .interval = 2,
	                                       .timeout = 2};
	const struct cluster_config config = {.patroni = &patroni,
	                                      .pool = POOL_DEFAULTS,
	                                      .health = HEALTH_DEFAULTS,
	                                      .breaker = BREAKER_DEFAULTS};
	f = (struct fixture){.context = {.loop = ev_loop_new(0), .log.level = LOG_OFF}};
	f.context.resolver = resolver_new(&f.context);
	f.cluster = cluster_new(&f.context, &config, error, sizeof error);
	assert_string_equal(error, "");
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

static struct endpoint_config config_of(const char *name, const char *port, enum role role)
{
	return (struct endpoint_config){.url = "postgres://u:p@/d",
	                                .host = "127.0.0.1",
	                                .port = port,
	                                .name = name,
	                                .weight = 1,
	                                .role = role};
}

static struct endpoint *join(struct cluster *c, const char *name, const char *port, enum role role)
{
	char error[256] = "";
	const struct endpoint_config config = config_of(name, port, role);
	struct endpoint *e = cluster_join(c, &config, error, sizeof error);
	assert_string_equal(error, "");
	cluster_review(c);
	return e;
}

static void a_cluster_may_begin_with_nobody(void **state)
{
	struct cluster *c = ((struct fixture *)*state)->cluster;
	assert_null(cluster_primary(c));
	assert_int_equal(c->topology, TOPOLOGY_NONE);
	struct endpoint *a = join(c, "a", "1", ROLE_PRIMARY);
	assert_ptr_equal(cluster_primary(c), a);
	assert_string_equal(a->host, "127.0.0.1");
	assert_string_equal(a->port, "1");
}

static void who_leaves_is_nobody_and_comes_back_as_the_same(void **state)
{
	struct cluster *c = ((struct fixture *)*state)->cluster;
	struct endpoint *a = join(c, "a", "1", ROLE_PRIMARY), *b = join(c, "b", "2", ROLE_REPLICA);
	unsigned incarnation = a->incarnation;
	endpoint_leave(a);
	cluster_review(c);
	assert_null(cluster_primary(c));
	assert_null(cluster_endpoint(c, "a"));
	assert_null(cluster_endpoint(c, "127.0.0.1:1"));
	assert_ptr_equal(cluster_endpoint(c, "b"), b);
	assert_int_equal(cluster_present(c), 1);
	assert_true(a->drained);

	assert_ptr_equal(join(c, "a", "1", ROLE_REPLICA), a);
	assert_int_equal(c->endpoint_count, 2);
	assert_int_equal(a->role, ROLE_REPLICA);
	assert_false(a->drained);
	assert_true(a->incarnation > incarnation);
}

static void an_order_to_drain_outlasts_an_absence(void **state)
{
	struct cluster *c = ((struct fixture *)*state)->cluster;
	struct endpoint *a = join(c, "a", "1", ROLE_PRIMARY);
	endpoint_drain(a, true);
	endpoint_leave(a);
	join(c, "a", "1", ROLE_PRIMARY);
	assert_true(a->drained);
	endpoint_leave(a);
	endpoint_drain(a, false);
	assert_true(a->drained);
	join(c, "a", "1", ROLE_PRIMARY);
	assert_false(a->drained);
}

static void the_same_name_elsewhere_is_another_endpoint(void **state)
{
	struct cluster *c = ((struct fixture *)*state)->cluster;
	const struct endpoint *a = join(c, "a", "1", ROLE_PRIMARY);
	char error[256];
	const struct endpoint_config moved = config_of("a", "2", ROLE_PRIMARY);
	assert_false(endpoint_is(a, &moved));
	assert_null(cluster_join(c, &moved, error, sizeof error));
	assert_string_equal(error, "two endpoints are called a; give one of them another name");
	assert_int_equal(c->endpoint_count, 1);
	endpoint_leave(c->endpoints[0]);
	assert_ptr_not_equal(join(c, "a", "2", ROLE_PRIMARY), a);
}

static void a_place_is_given_away_when_there_is_no_other(void **state)
{
	struct cluster *c = ((struct fixture *)*state)->cluster;
	char name[16], error[256];
	unsigned serial = 0;
	const struct endpoint *stays = join(c, "stays", "1", ROLE_PRIMARY);
	for (int i = 0; i < 3 * CLUSTER_ENDPOINTS; i++) {
		snprintf(name, sizeof name, "e%d", i);
		struct endpoint *e = join(c, name, "2", ROLE_REPLICA);
		assert_true(e->serial > serial);
		assert_ptr_equal(c->endpoints[e->index], e);
		serial = e->serial;
		endpoint_leave(e);
	}
	assert_int_equal(c->endpoint_count, CLUSTER_ENDPOINTS);
	assert_ptr_equal(cluster_endpoint(c, "stays"), stays);

	/* Nor is one given away that has something under way. */
	for (int i = 1; i < CLUSTER_ENDPOINTS; i++)
		c->endpoints[i]->in_flight = 1;
	const struct endpoint_config config = config_of("more", "3", ROLE_REPLICA);
	assert_null(cluster_join(c, &config, error, sizeof error));
	assert_string_equal(error, "a cluster has at most 64 endpoints");
	for (int i = 1; i < CLUSTER_ENDPOINTS; i++)
		c->endpoints[i]->in_flight = 0;
}

static void a_route_by_names_follows_who_joins(void **state)
{
	struct cluster *c = ((struct fixture *)*state)->cluster;
	const struct route *r =
	        route_new(c, &(struct route_config){.to = TO_NAMED, .names = "b\0c\0"});
	assert_int_equal(route_config(r)->named, 0);
	join(c, "a", "1", ROLE_PRIMARY);
	join(c, "b", "2", ROLE_REPLICA);
	struct endpoint *other = join(c, "c", "3", ROLE_REPLICA);
	routes_name_endpoints(c->routes);
	assert_int_equal(route_config(r)->named, 6);
	endpoint_leave(other);
	routes_name_endpoints(c->routes);
	assert_int_equal(route_config(r)->named, 2);
}

static void a_role_is_presumed_until_a_probe_has_told(void **state)
{
	struct cluster *c = ((struct fixture *)*state)->cluster;
	struct endpoint *a = join(c, "a", "1", ROLE_PRIMARY), *b = join(c, "b", "2", ROLE_REPLICA);
	endpoint_presume(a, ROLE_REPLICA);
	endpoint_presume(b, ROLE_PRIMARY);
	cluster_review(c);
	assert_ptr_equal(cluster_primary(c), b);
	a->timeline = b->timeline = 1;
	endpoint_presume(b, ROLE_REPLICA);
	assert_int_equal(b->role, ROLE_PRIMARY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(a_cluster_may_begin_with_nobody, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(who_leaves_is_nobody_and_comes_back_as_the_same,
	                                        set_up, tear_down),
	        cmocka_unit_test_setup_teardown(an_order_to_drain_outlasts_an_absence, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(the_same_name_elsewhere_is_another_endpoint, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(a_place_is_given_away_when_there_is_no_other,
	                                        set_up, tear_down),
	        cmocka_unit_test_setup_teardown(a_route_by_names_follows_who_joins, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(a_role_is_presumed_until_a_probe_has_told, set_up,
	                                        tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
