/* test_writes.c - when something was last written, by key and by scope. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/scopes.h"
#include "cluster/writes.h"

#include <stdio.h>
#include <string.h>

#define NEVER   (-INFINITY)
#define ALL     (~0u)
#define KEY(id) ((uint64_t)(id) << 40 | 7) /* all of one row */

static void knows_of_no_write_at_first(void **state)
{
	(void)state;
	struct writes *w = writes_new(100);
	assert_near(writes_last(w, KEY(1)), NEVER);
	writes_free(w);
}

static void tells_each_key_its_last_write(void **state)
{
	(void)state;
	struct writes *w = writes_new(100);
	writes_note(w, KEY(1), 10);
	writes_note(w, KEY(2), 20);
	writes_note(w, KEY(1), 15);
	writes_note(w, KEY(2), 5); /* overtaken */
	assert_near(writes_last(w, KEY(1)), 15);
	assert_near(writes_last(w, KEY(2)), 20);
	assert_near(writes_last(w, KEY(3)), NEVER);
	writes_free(w);
}

static void what_is_thrown_out_counts_for_all(void **state)
{
	(void)state;
	struct writes *w = writes_new(8);
	for (int i = 1; i <= 8; i++)
		writes_note(w, KEY(i), i);
	assert_near(writes_last(w, KEY(100)), NEVER);
	writes_note(w, KEY(9), 9);              /* throws out 1, the oldest */
	assert_near(writes_last(w, KEY(1)), 1); /* still not forgotten */
	assert_near(writes_last(w, KEY(100)), 1);
	assert_near(writes_last(w, KEY(9)), 9);
	writes_free(w);
}

static void never_tells_an_earlier_moment_than_the_true_one(void **state)
{
	(void)state;
	enum { KEYS = 500 };
	double truth[KEYS];
	uint64_t chance = 1;
	struct writes *w = writes_new(64);
	for (int i = 0; i < KEYS; i++)
		truth[i] = NEVER;
	for (int now = 1; now < 20000; now++) {
		chance = chance * 6364136223846793005u + 1442695040888963407u;
		unsigned key = (unsigned)(chance >> 33) % KEYS;
		if (now % 3) {
			writes_note(w, key * 0x9e3779b97f4a7c15u, now);
			truth[key] = now;
		}
		assert_true(writes_last(w, key * 0x9e3779b97f4a7c15u) >= truth[key]);
	}
	writes_free(w);
}

static struct tables tables_of(enum sql_kind kind, unsigned effects, const char *first,
                               const char *second)
{
	const char *names[] = {first, second};
	const struct facts facts = {.kind = kind,
	                            .effects = effects,
	                            .tables = names,
	                            .table_count = second  ? 2
	                                           : first ? 1
	                                                   : 0};
	struct tables t = {0};
	tables_add(&t, &facts);
	return t;
}

static double read_of(const struct writes *w, const char *database, const char *table)
{
	const struct tables t = tables_of(SQL_SELECT, 0, table, NULL);
	return scopes_last(w, SCOPE_TABLE, &(struct party){.database = database, .tables = &t});
}

static void a_table_is_known_with_or_without_its_schema(void **state)
{
	(void)state;
	struct writes *w = writes_new(100);
	const struct tables t = tables_of(SQL_INSERT, 0, "public.a", "b");
	scopes_note(w, ALL, &(struct party){.database = "d", .tables = &t}, 10);
	assert_near(read_of(w, "d", "a"), 10);
	assert_near(read_of(w, "d", "other.a"), 10);
	assert_near(read_of(w, "d", "x.b"), 10);
	assert_near(read_of(w, "d", "c"), NEVER);
	assert_near(read_of(w, "e", "a"), NEVER);
	writes_free(w);
}

static void a_write_that_hides_its_tables_counts_for_all(void **state)
{
	(void)state;
	static const struct {
		enum sql_kind kind;
		unsigned effects;
	} hidden[] = {{SQL_CALL, 0},
	              {SQL_DO, 0},
	              {SQL_UNKNOWN, 0},
	              {SQL_MULTI, 0},
	              {SQL_TRUNCATE, 0},
	              {SQL_SELECT, EFFECT_VOLATILE},
	              {SQL_EXECUTE, 0},
	              {SQL_DROP, EFFECT_DDL},
	              {SQL_INSERT, EFFECT_MAY_PIN}};
	for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
		struct writes *w = writes_new(100);
		const struct tables t = tables_of(hidden[i].kind, hidden[i].effects, "a", NULL);
		assert_true(t.any);
		scopes_note(w, ALL, &(struct party){.database = "d", .tables = &t}, 10);
		assert_near(read_of(w, "d", "zzz"), 10);
		assert_near(read_of(w, "e", "zzz"), NEVER);
		writes_free(w);
	}
}

static void a_read_that_hides_its_tables_is_held_to_all_writes(void **state)
{
	(void)state;
	struct writes *w = writes_new(100);
	const struct tables a = tables_of(SQL_UPDATE, 0, "a", NULL);
	const struct tables any = tables_of(SQL_SELECT, EFFECT_MAY_PIN, "b", NULL);
	scopes_note(w, ALL, &(struct party){.database = "d", .tables = &a}, 10);
	struct party reader = {.database = "d", .tables = &any};
	assert_near(scopes_last(w, SCOPE_TABLE, &reader), 10);
	reader.tables = NULL;
	assert_near(scopes_last(w, SCOPE_TABLE, &reader), 10);
	writes_free(w);
}

static void more_tables_than_there_is_room_for_are_any(void **state)
{
	(void)state;
	struct tables all = {0};
	char names[TABLES_MAX + 1][16];
	for (int i = 0; i <= TABLES_MAX; i++) {
		snprintf(names[i], sizeof names[i], "t%d", i);
		const struct tables one = tables_of(SQL_INSERT, 0, names[i], NULL);
		tables_merge(&all, &one);
		tables_merge(&all, &one);
		assert_int_equal(all.any, i == TABLES_MAX);
	}
}

static double last(const struct writes *w, enum scope scope, const char *user, const char *key)
{
	const struct party who = {
	        .user = user, .database = "d", .key = key ? scope_key(key, strlen(key)) : 0};
	return scopes_last(w, scope, &who);
}

static void users_and_keys_have_writes_of_their_own(void **state)
{
	(void)state;
	struct writes *w = writes_new(100);
	scopes_note(w, ALL, &(struct party){.user = "ann", .key = scope_key("t1", 2)}, 10);
	assert_near(last(w, SCOPE_USER, "ann", NULL), 10);
	assert_near(last(w, SCOPE_USER, "bob", NULL), NEVER);
	assert_near(last(w, SCOPE_CLUSTER, "bob", NULL), 10);
	assert_near(last(w, SCOPE_KEY, "bob", "t1"), 10);
	assert_near(last(w, SCOPE_KEY, "ann", "t2"), NEVER);
	assert_near(last(w, SCOPE_KEY, "bob", NULL), 10); /* without a key: any write */
	scopes_note(w, ALL, &(struct party){.user = "cyd"}, 20);
	assert_near(last(w, SCOPE_KEY, "ann", "t2"), 20); /* a write without one counts for all */
	writes_free(w);
}

static void only_scopes_in_use_are_noted(void **state)
{
	(void)state;
	struct writes *w = writes_new(100);
	scopes_note(w, 1u << SCOPE_USER, &(struct party){.user = "ann"}, 10);
	assert_near(last(w, SCOPE_USER, "ann", NULL), 10);
	assert_near(last(w, SCOPE_CLUSTER, "ann", NULL), NEVER);
	writes_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(knows_of_no_write_at_first),
	        cmocka_unit_test(tells_each_key_its_last_write),
	        cmocka_unit_test(what_is_thrown_out_counts_for_all),
	        cmocka_unit_test(never_tells_an_earlier_moment_than_the_true_one),
	        cmocka_unit_test(a_table_is_known_with_or_without_its_schema),
	        cmocka_unit_test(a_write_that_hides_its_tables_counts_for_all),
	        cmocka_unit_test(a_read_that_hides_its_tables_is_held_to_all_writes),
	        cmocka_unit_test(more_tables_than_there_is_room_for_are_any),
	        cmocka_unit_test(users_and_keys_have_writes_of_their_own),
	        cmocka_unit_test(only_scopes_in_use_are_noted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
