/* test_dispatch.c - what a borrower is told, and when, while no server is to be had.
 *
 * The endpoint is a socket that listens and never answers. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/clock.h"
#include "cluster/dispatch.h"
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

static void make(struct mute *m, struct pool_config pool)
{
	char error[256] = "";
	*m = (struct mute){.context = {.loop = ev_loop_new(0), .log.level = LOG_OFF}};
	m->context.resolver = resolver_new(m->context.loop);
	m->fd = listen_mutely(m->url, sizeof m->url);
	const struct endpoint_config endpoint = {.url = m->url, .weight = 1, .role = ROLE_PRIMARY};
	const struct cluster_config config = {.endpoints = &endpoint,
	                                      .endpoint_count = 1,
	                                      .pool = pool,
	                                      .health = HEALTH_DEFAULTS};
	m->cluster = cluster_new(&m->context, &config, error, sizeof error);
	assert_string_equal(error, "");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(tells_once_that_it_goes_on_waiting_for_a_server),
	        cmocka_unit_test(tells_that_it_goes_on_waiting_for_an_endpoint),
	        cmocka_unit_test(is_quiet_where_no_notice_is_wanted),
	        cmocka_unit_test(may_be_cancelled_by_whom_it_tells),
	        cmocka_unit_test(who_comes_from_elsewhere_keeps_its_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
