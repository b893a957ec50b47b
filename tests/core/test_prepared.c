/* test_prepared.c - which statements a server has prepared, and which it is to close. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/cluster.h"
#include "cluster/prepared.h"

#include <stdlib.h>
#include <string.h>

struct world {
	struct cluster cluster;
	struct endpoint endpoint;
	struct server server;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	if (!w)
		return -1;
	w->cluster.pool.prepared_statements = 2;
	w->endpoint.cluster = &w->cluster;
	w->server.endpoint = &w->endpoint;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	if (w->server.session)
		w->server.session_free(w->server.session);
	free(w);
	return 0;
}

static struct prepared_cache *cache_of(void **state)
{
	struct world *w = *state;
	struct prepared_cache *cache = prepared_cache_of(&w->server);
	assert_non_null(cache);
	return cache;
}

static struct exec_query query(const char *sql, const Oid *types, int count)
{
	return (struct exec_query){.sql = sql,
	                           .count = count,
	                           .types = types,
	                           .prepared = prepared_hash(sql, strlen(sql))};
}

static void prepare(struct prepared_cache *cache, const char *sql)
{
	const struct exec_query q = query(sql, NULL, 0);
	struct prepared *p = prepared_new(cache, &q, false);
	assert_non_null(p);
	prepared_add(cache, p);
}

static bool knows(struct prepared_cache *cache, const char *sql)
{
	const struct exec_query q = query(sql, NULL, 0);
	return prepared_find(cache, &q) != NULL;
}

static void the_one_used_longest_ago_is_closed_for_another(void **state)
{
	struct prepared_cache *cache = cache_of(state);
	char sql[PREPARED_NAME + 16];
	prepare(cache, "select 1");
	prepare(cache, "select 2");
	assert_true(knows(cache, "select 1"));
	assert_int_equal(prepared_doomed(cache), 0);
	prepare(cache, "select 3");
	assert_false(knows(cache, "select 2"));
	assert_true(knows(cache, "select 1"));
	assert_int_equal(prepared_doomed(cache), 1);
	prepared_close_sql(cache, 0, sql);
	assert_string_equal(sql, "deallocate \"moongate:2\"");
	prepared_closed(cache);
	assert_int_equal(prepared_doomed(cache), 0);
}

static void no_room_is_made_inside_of_a_block(void **state)
{
	struct prepared_cache *cache = cache_of(state);
	const struct exec_query q = query("select 3", NULL, 0);
	prepare(cache, "select 1");
	prepare(cache, "select 2");
	assert_null(prepared_new(cache, &q, true));
	assert_true(knows(cache, "select 1") && knows(cache, "select 2"));
}

static void types_of_parameters_tell_statements_apart(void **state)
{
	static const Oid numbers[] = {23, 23}, texts[] = {23, 0};
	struct prepared_cache *cache = cache_of(state);
	const struct exec_query a = query("select $1, $2", numbers, 2),
	                        b = query("select $1, $2", texts, 2);
	struct prepared *p = prepared_new(cache, &a, false);
	assert_non_null(p);
	prepared_add(cache, p);
	assert_ptr_equal(prepared_find(cache, &a), p);
	assert_null(prepared_find(cache, &b));
}

static void texts_of_one_hash_are_not_taken_for_one_another(void **state)
{
	struct prepared_cache *cache = cache_of(state);
	struct exec_query a = query("select 1", NULL, 0), b = query("select 2", NULL, 0);
	b.prepared = a.prepared;
	prepare(cache, "select 1");
	assert_null(prepared_find(cache, &b));
	assert_null(prepared_new(cache, &b, false)); /* it is run unprepared */
	assert_non_null(prepared_find(cache, &a));
}

static void a_name_is_never_used_twice(void **state)
{
	struct world *w = *state;
	struct prepared_cache *cache = cache_of(state);
	const struct exec_query q = query("select 1", NULL, 0);
	prepare(cache, "select 1");
	prepared_drop(&w->server, &q, false);
	assert_int_equal(prepared_doomed(cache), 1);
	prepared_forget(&w->server);
	assert_int_equal(prepared_doomed(cache), 0);
	struct prepared *p = prepared_new(cache, &q, false);
	assert_non_null(p);
	assert_string_equal(prepared_name(p), "moongate:2");
	prepared_add(cache, p);
	prepared_drop(&w->server, &q, true);
	assert_int_equal(prepared_doomed(cache), 0);
	assert_false(knows(cache, "select 1"));
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        T(the_one_used_longest_ago_is_closed_for_another),
	        T(no_room_is_made_inside_of_a_block),
	        T(types_of_parameters_tell_statements_apart),
	        T(texts_of_one_hash_are_not_taken_for_one_another),
	        T(a_name_is_never_used_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
