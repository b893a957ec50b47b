/* test_notices.c - notices are kept for who listens, in number and size within bounds. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/cluster.h"
#include "cluster/notices.h"
#include "cluster/server.h"

#include <stdlib.h>

struct fixture {
	struct cluster cluster;
	struct endpoint endpoint;
	struct server server;
	int waiting; /* how often it was said that there are some */
};

static void on_waiting(void *arg)
{
	struct fixture *f = arg;
	f->waiting++;
}

static void begin(struct fixture *f, bool pooled)
{
	*f = (struct fixture){.waiting = 0};
	f->endpoint.cluster = &f->cluster;
	f->endpoint.name = "db1:5432";
	f->server.endpoint = &f->endpoint;
	f->server.pool = pooled ? (struct pool *)(void *)f : NULL; /* not looked into */
}

static void receive(struct fixture *f, int count)
{
	PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_NONFATAL_ERROR);
	for (int i = 0; i < count; i++)
		notices_receive(&f->server, r);
	PQclear(r);
}

static void keeps_nothing_where_nobody_listens(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, true);
	receive(&f, 3);
	assert_null(notices_take(&f.cluster));
	notices_stop(&f.cluster);
}

static void hears_nothing_of_servers_that_are_no_pools(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, false);
	notices_listen(&f.cluster, on_waiting, &f);
	receive(&f, 3);
	assert_null(notices_take(&f.cluster));
	assert_int_equal(f.waiting, 0);
}

static void says_once_that_there_are_some_until_all_were_taken(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, true);
	notices_listen(&f.cluster, on_waiting, &f);
	for (int round = 1; round <= 2; round++) {
		receive(&f, 2);
		assert_int_equal(f.waiting, round);
		for (int i = 0; i < 2; i++) {
			struct notice *n = notices_take(&f.cluster);
			assert_string_equal(notice_endpoint(n), "db1:5432");
			assert_null(notice_field(n, PG_DIAG_MESSAGE_PRIMARY));
			free(n);
		}
		assert_null(notices_take(&f.cluster));
	}
}

static void drops_and_counts_what_is_too_much(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, true);
	notices_listen(&f.cluster, on_waiting, &f);
	receive(&f, NOTICES_KEPT + 5);
	assert_int_equal(f.cluster.notices.count, NOTICES_KEPT);
	assert_int_equal(f.cluster.notices.dropped, 5);
	free(notices_take(&f.cluster));
	f.cluster.notices.bytes = NOTICES_BYTES;
	receive(&f, 1);
	assert_int_equal(f.cluster.notices.dropped, 6);
	notices_stop(&f.cluster);
	assert_null(notices_take(&f.cluster));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(keeps_nothing_where_nobody_listens),
	        cmocka_unit_test(hears_nothing_of_servers_that_are_no_pools),
	        cmocka_unit_test(says_once_that_there_are_some_until_all_were_taken),
	        cmocka_unit_test(drops_and_counts_what_is_too_much),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
