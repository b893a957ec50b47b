/* test_dispatch.c - what a borrower is told, and when, while no server is to be had.
 *
 * The endpoint is a socket that listens and never answers. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/clock.h"
#include "cluster/dispatch.h"
#include "cluster/pause.h"
#include "cluster/resolver.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct mute {
	struct context context;
	struct cluster *cluster;
	int fd;
	char url[64];
};

struct borrower {
	struct dispatch dispatch;
	unsigned notices, ends;
	bool cancel;
	enum status status;
	char sqlstate[6], reason[256];
	const char *hint;
	double noticed, ended;
};

static int listen_mutely(char *url, size_t size)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_return_code(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_return_code(listen(fd, 100), 0);
	getsockname(fd, (struct sockaddr *)&at, &length);
	snprintf(url, size, "postgres://u@127.0.0.1:%d/d", ntohs(at.sin_port));
	return fd;
}

static void make_with(struct mute *m, struct pool_config pool, struct hold_limit limit)
{
	char error[256] = "";
	*m = (struct mute){.context = {.loop = ev_loop_new(0), .log.level = LOG_OFF}};
	m->context.resolver = resolver_new(&m->context);
	m->fd = listen_mutely(m->url, sizeof m->url);
	const struct endpoint_config endpoints[] = {
	        {.url = m->url, .weight = 1, .role = ROLE_PRIMARY},
	        {.url = m->url, .name = "replica", .weight = 1, .role = ROLE_REPLICA}};
	const struct cluster_config config = {.endpoints = endpoints,
	                                      .endpoint_count = 2,
	                                      .pool = pool,
	                                      .hold_limit = limit,
	                                      .health = HEALTH_DEFAULTS};
	m->cluster = cluster_new(&m->context, &config, error, sizeof error);
	assert_string_equal(error, "");
}

static void make(struct mute *m, struct pool_config pool)
{
	make_with(m, pool, (struct hold_limit){0});
}

static void destroy(struct mute *m)
{
	cluster_free(m->cluster);
	resolver_free(m->context.resolver);
	ev_loop_destroy(m->context.loop);
	close(m->fd);
}

static void on_done(struct dispatch *d, struct server *server, enum status status,
                    const char *sqlstate, const char *reason)
{
	struct borrower *b = LIST_ENTRY(d, struct borrower, dispatch);
	assert_null(server);
	b->ends++;
	b->status = status;
	b->ended = clock_now();
	b->hint = d->hint;
	snprintf(b->sqlstate, sizeof b->sqlstate, "%s", sqlstate);
	snprintf(b->reason, sizeof b->reason, "%s", reason);
}

static void on_wait(struct dispatch *d)
{
	struct borrower *b = LIST_ENTRY(d, struct borrower, dispatch);
	b->notices++;
	b->noticed = clock_now();
	if (b->cancel)
		dispatch_cancel(d);
}

static void start_many(struct mute *m, struct borrower *b, size_t count, size_t bytes)
{
	const struct dispatch_request request = {.cluster = m->cluster,
	                                         .route = m->cluster->default_write,
	                                         .last_write = -INFINITY,
	                                         .bytes = bytes};
	for (size_t i = 0; i < count; i++)
		dispatch_start(&b[i].dispatch, &request, on_done);
}

static void take_down(struct endpoint *e)
{
	for (unsigned i = 0; i < e->cluster->health.fall; i++)
		endpoint_report(e, false, "down for a test");
	assert_false(health_usable(&e->health));
}

static void bring_up(struct endpoint *e)
{
	for (unsigned i = 0; i < e->cluster->health.rise; i++)
		endpoint_report(e, true, NULL);
}

static void run_for(struct mute *m, double seconds)
{
	for (double until = clock_now() + seconds; clock_now() < until;) {
		ev_run(m->context.loop, EVRUN_NOWAIT);
		usleep(1000);
	}
}

/* The n-th of those that are parked. */
static const struct borrower *parked(const struct mute *m, unsigned n)
{
	const struct list *link = m->cluster->parked.next;
	while (n--)
		link = link->next;
	assert_ptr_not_equal(link, &m->cluster->parked);
	return LIST_ENTRY(LIST_ENTRY(link, struct dispatch, parked), struct borrower, dispatch);
}

static uint64_t counted(const struct mute *m, enum counter counter)
{
	return m->cluster->counters.values[counter];
}

static void start(struct mute *m, struct borrower *b)
{
	const struct dispatch_request request = {.cluster = m->cluster,
	                                         .route = m->cluster->default_write,
	                                         .last_write = -INFINITY,
	                                         .on_wait = on_wait};
	dispatch_start(&b->dispatch, &request, on_done);
	assert_int_equal(b->notices + b->ends, 0);
}

static void tells_once_that_it_goes_on_waiting_for_a_server(void **state)
{
	(void)state;
	struct mute m;
	struct borrower b = {0};
	struct pool_config pool = POOL_DEFAULTS;
	pool.notice_after = 0.02;
	pool.acquire_timeout = 0.5;
	make(&m, pool);
	start(&m, &b);
	while (b.ends == 0)
		ev_run(m.context.loop, EVRUN_ONCE);
	assert_int_equal(b.notices, 1);
	assert_true(b.noticed < b.ended);
	assert_int_equal(b.status, ST_TIMEOUT);
	assert_string_equal(b.sqlstate, "57P03");
	destroy(&m);
}

static void tells_that_it_goes_on_waiting_for_an_endpoint(void **state)
{
	(void)state;
	struct mute m;
	struct borrower b = {0};
	struct pool_config pool = POOL_DEFAULTS;
	pool.connect_timeout = 0.01;
	pool.notice_after = 0.1;
	pool.acquire_timeout = 0.6;
	make(&m, pool);
	start(&m, &b);
	while (b.ends == 0)
		ev_run(m.context.loop, EVRUN_ONCE);
	assert_int_equal(b.notices, 1);
	assert_string_equal(b.sqlstate, "57P03");
	assert_non_null(strstr(b.reason, "no endpoint of this route"));
	destroy(&m);
}

static void is_quiet_where_no_notice_is_wanted(void **state)
{
	(void)state;
	struct mute m;
	struct borrower b = {0};
	struct pool_config pool = POOL_DEFAULTS;
	pool.notice_after = 0;
	pool.acquire_timeout = 0.05;
	make(&m, pool);
	start(&m, &b);
	while (b.ends == 0)
		ev_run(m.context.loop, EVRUN_ONCE);
	assert_int_equal(b.notices, 0);
	destroy(&m);
}

static void may_be_cancelled_by_whom_it_tells(void **state)
{
	(void)state;
	struct mute m;
	struct borrower gone = {.cancel = true}, other = {0};
	struct pool_config pool = POOL_DEFAULTS;
	pool.notice_after = 0.02;
	pool.acquire_timeout = 0.5;
	make(&m, pool);
	start(&m, &gone);
	start(&m, &other);
	while (other.ends == 0)
		ev_run(m.context.loop, EVRUN_ONCE);
	assert_int_equal(gone.notices, 1);
	assert_int_equal(gone.ends, 0);
	assert_int_equal(m.cluster->endpoints[0]->waiting, 0);
	destroy(&m);
}

static double order[3];
static unsigned told;

static void on_told(struct pool_waiter *w, struct server *server, enum status status,
                    const char *sqlstate, const char *reason)
{
	(void)sqlstate;
	(void)reason;
	assert_null(server);
	assert_int_equal(status, ST_CLOSED);
	order[told++] = w->since;
}

/* It has waited elsewhere, for an endpoint that then went down. */
static void who_comes_from_elsewhere_keeps_its_place(void **state)
{
	(void)state;
	struct mute m;
	struct pool_waiter waiters[3] = {{.since = 5}, {.since = 7}, {.since = 6}};
	make(&m, POOL_DEFAULTS);
	struct pool *pool = pool_of(m.cluster->endpoints[0], NULL, NULL);
	for (int i = 0; i < 3; i++) {
		waiters[i].notice_at = INFINITY;
		pool_acquire(pool, &waiters[i], 60, on_told);
	}
	pool_free(pool);
	assert_int_equal(told, 3);
	for (int i = 0; i < 3; i++)
		assert_near(order[i], 5 + i);
	destroy(&m);
}

static void refuses_at_once_what_is_more_than_may_be_held(void **state)
{
	(void)state;
	struct mute m;
	struct borrower b[4] = {0};
	make_with(&m, POOL_DEFAULTS, (struct hold_limit){.queries = 2});
	take_down(m.cluster->endpoints[0]);
	start_many(&m, b, 3, 10);
	assert_int_equal(b[0].ends + b[1].ends, 0);
	assert_int_equal(b[2].ends, 1);
	assert_string_equal(b[2].sqlstate, "57P03");
	assert_non_null(strstr(b[2].hint, "hold_limit"));
	assert_int_equal(m.cluster->held, 2);
	assert_int_equal(m.cluster->held_bytes, 20);
	dispatch_cancel(&b[0].dispatch);
	start_many(&m, &b[3], 1, 7);
	assert_int_equal(b[3].ends, 0);
	assert_int_equal(m.cluster->held_bytes, 17);
	assert_int_equal(counted(&m, COUNTER_HELD), 3);
	assert_int_equal(counted(&m, COUNTER_HELD_REFUSED), 1);
	destroy(&m);
}

static void counts_bytes_that_are_held(void **state)
{
	(void)state;
	struct mute m;
	struct borrower b[3] = {0};
	make_with(&m, POOL_DEFAULTS, (struct hold_limit){.bytes = 100});
	take_down(m.cluster->endpoints[0]);
	start_many(&m, b, 2, 60);
	assert_int_equal(b[0].ends, 0);
	assert_int_equal(b[1].ends, 1);
	start_many(&m, &b[2], 1, 40);
	assert_int_equal(b[2].ends, 0);
	destroy(&m);
}

/* It was the first to try to connect; the others came while that was under way. */
static void who_comes_back_stands_before_those_that_came_later(void **state)
{
	(void)state;
	struct mute m;
	struct borrower b[3] = {0};
	struct pool_config pool = POOL_DEFAULTS;
	pool.connect_timeout = 0.05;
	make(&m, pool);
	start_many(&m, b, 1, 0);
	take_down(m.cluster->endpoints[0]);
	start_many(&m, &b[1], 2, 0);
	while (m.cluster->held < 3)
		ev_run(m.context.loop, EVRUN_ONCE);
	for (unsigned i = 0; i < 3; i++)
		assert_ptr_equal(parked(&m, i), &b[i]);
	bring_up(m.cluster->endpoints[0]);
	assert_int_equal(m.cluster->held, 0);
	assert_int_equal(m.cluster->endpoints[0]->waiting, 3);
	destroy(&m);
}

static void a_pause_is_waited_for_without_a_deadline(void **state)
{
	(void)state;
	struct mute m;
	struct borrower b[3] = {0};
	struct pool_config pool = POOL_DEFAULTS;
	pool.acquire_timeout = 0.05;
	make(&m, pool);
	start_many(&m, b, 1, 0);
	assert_int_equal(m.cluster->endpoints[0]->waiting, 1);
	cluster_pause(m.cluster);
	cluster_pause(m.cluster);
	start_many(&m, &b[1], 1, 0);
	assert_int_equal(m.cluster->endpoints[0]->waiting, 0);
	assert_ptr_equal(parked(&m, 0), &b[0]);
	assert_ptr_equal(parked(&m, 1), &b[1]);
	dispatch_wake(m.cluster);
	run_for(&m, 0.2);
	assert_int_equal(b[0].ends + b[1].ends, 0);
	assert_int_equal(counted(&m, COUNTER_PAUSED), 2);
	assert_int_equal(counted(&m, COUNTER_HELD), 0);
	cluster_resume(m.cluster);
	assert_false(cluster_is_paused(m.cluster));
	assert_int_equal(m.cluster->endpoints[0]->waiting, 2);
	while (b[0].ends + b[1].ends < 2)
		ev_run(m.context.loop, EVRUN_ONCE);
	destroy(&m);
}

static void a_pause_holds_those_that_wait_for_an_endpoint(void **state)
{
	(void)state;
	struct mute m;
	struct borrower b = {0};
	struct pool_config pool = POOL_DEFAULTS;
	pool.acquire_timeout = 0.05;
	make(&m, pool);
	take_down(m.cluster->endpoints[0]);
	start_many(&m, &b, 1, 0);
	cluster_pause(m.cluster);
	run_for(&m, 0.1);
	assert_int_equal(b.ends, 0);
	assert_int_equal(m.cluster->held, 1);
	double resumed = clock_now();
	cluster_resume(m.cluster);
	while (b.ends == 0)
		ev_run(m.context.loop, EVRUN_ONCE);
	assert_true(b.ended - resumed >= 0.04);
	assert_int_equal(counted(&m, COUNTER_HELD_TIMEOUTS), 1);
	assert_int_equal(m.cluster->held, 0);
	destroy(&m);
}

static void read_with_patience(struct mute *m, struct borrower *b, double wait)
{
	const double now = clock_now();
	const struct dispatch_request request = {.cluster = m->cluster,
	                                         .route = m->cluster->default_read,
	                                         .last_write = now,
	                                         .fresh_until = wait > 0 ? now + wait : 0};
	dispatch_start(&b->dispatch, &request, on_done);
}

static void a_read_may_wait_for_a_replica_to_become_fresh(void **state)
{
	(void)state;
	struct mute m;
	struct borrower hasty = {0}, late = {0}, lucky = {0};
	make(&m, POOL_DEFAULTS);
	struct endpoint *primary = m.cluster->endpoints[0], *replica = m.cluster->endpoints[1];
	read_with_patience(&m, &hasty, 0);
	assert_int_equal(primary->waiting, 1);
	read_with_patience(&m, &late, 0.02);
	read_with_patience(&m, &lucky, 60);
	assert_int_equal(late.dispatch.reason, PARKED_FRESHNESS);
	assert_int_equal(m.cluster->held, 0);
	while (primary->waiting < 2)
		ev_run(m.context.loop, EVRUN_ONCE);
	assert_int_equal(late.dispatch.reason, PARKED_NOT);
	dispatch_wake(m.cluster);
	assert_int_equal(lucky.dispatch.reason, PARKED_FRESHNESS);
	replica->fresh_as_of = clock_now();
	dispatch_wake(m.cluster);
	assert_int_equal(replica->waiting, 1);
	destroy(&m);
}

static void counters_tell_what_has_grown(void **state)
{
	(void)state;
	char text[64];
	struct counters before = {0}, now = {0};
	now.values[COUNTER_HELD] = before.values[COUNTER_HELD] = 7;
	assert_false(counters_text(&now, &before, text, sizeof text));
	now.values[COUNTER_HELD] = 9;
	now.values[COUNTER_PAUSED] = 1;
	assert_true(counters_text(&now, &before, text, sizeof text));
	assert_string_equal(text, "held:2,paused:1");
	counters_text(&now, &before, text, 8);
	assert_string_equal(text, "held:2,");
	for (unsigned i = 0; i < COUNTERS; i++)
		assert_non_null(counter_name((enum counter)i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(tells_once_that_it_goes_on_waiting_for_a_server),
	        cmocka_unit_test(tells_that_it_goes_on_waiting_for_an_endpoint),
	        cmocka_unit_test(is_quiet_where_no_notice_is_wanted),
	        cmocka_unit_test(may_be_cancelled_by_whom_it_tells),
	        cmocka_unit_test(who_comes_from_elsewhere_keeps_its_place),
	        cmocka_unit_test(refuses_at_once_what_is_more_than_may_be_held),
	        cmocka_unit_test(counts_bytes_that_are_held),
	        cmocka_unit_test(who_comes_back_stands_before_those_that_came_later),
	        cmocka_unit_test(a_pause_is_waited_for_without_a_deadline),
	        cmocka_unit_test(a_pause_holds_those_that_wait_for_an_endpoint),
	        cmocka_unit_test(a_read_may_wait_for_a_replica_to_become_fresh),
	        cmocka_unit_test(counters_tell_what_has_grown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
