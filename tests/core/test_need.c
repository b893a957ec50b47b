/* test_need.c - how fresh a read has to be, and what it may say of it. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/need.h"

#include <stdio.h>
#include <string.h>

#define NEVER (-INFINITY)

static const struct need nothing;

static bool met(const struct need *n, enum consistency level, double since, const struct replica *r)
{
	return need_met(n, level, 0.5, since, 100, r);
}

static void eventual_takes_any_replica(void **state)
{
	(void)state;
	const struct replica unknown = {.fresh_as_of = NEVER};
	assert_true(met(&nothing, CONSISTENCY_EVENTUAL, 99, &unknown));
}

static void bounded_goes_by_the_age_of_what_is_known(void **state)
{
	(void)state;
	const struct replica young = {.fresh_as_of = 99.5}, old = {.fresh_as_of = 99.4};
	assert_true(met(&nothing, CONSISTENCY_BOUNDED, 99.9, &young));
	assert_false(met(&nothing, CONSISTENCY_BOUNDED, NEVER, &old));
}

static void read_your_writes_goes_by_the_last_write(void **state)
{
	(void)state;
	const struct replica r = {.fresh_as_of = 50}, unknown = {.fresh_as_of = NEVER};
	assert_true(met(&nothing, CONSISTENCY_READ_YOUR_WRITES, 50, &r));
	assert_false(met(&nothing, CONSISTENCY_READ_YOUR_WRITES, 50.001, &r));
	assert_true(met(&nothing, CONSISTENCY_READ_YOUR_WRITES, NEVER, &unknown));
}

static void session_never_steps_back(void **state)
{
	(void)state;
	const struct need n = {
	        .has_read = true, .last_read = 60, .reader = 1, .reader_incarnation = 7};
	const struct replica same = {.fresh_as_of = 50, .index = 1, .incarnation = 7},
	                     reborn = {.fresh_as_of = 50, .index = 1, .incarnation = 8},
	                     other = {.fresh_as_of = 59, .index = 2, .incarnation = 7},
	                     ahead = {.fresh_as_of = 60, .index = 2};
	assert_true(met(&n, CONSISTENCY_SESSION, 50, &same));
	assert_false(met(&n, CONSISTENCY_SESSION, 51, &same)); /* a write since */
	assert_false(met(&n, CONSISTENCY_SESSION, NEVER, &reborn));
	assert_false(met(&n, CONSISTENCY_SESSION, NEVER, &other));
	assert_true(met(&n, CONSISTENCY_SESSION, NEVER, &ahead));
	assert_true(met(&n, CONSISTENCY_READ_YOUR_WRITES, NEVER, &other));
	assert_true(met(&nothing, CONSISTENCY_SESSION, NEVER, &other));
}

static void strong_takes_no_replica(void **state)
{
	(void)state;
	const struct replica r = {.fresh_as_of = 100};
	assert_false(met(&nothing, CONSISTENCY_STRONG, NEVER, &r));
}

static void a_position_has_to_be_reached_at_every_level(void **state)
{
	(void)state;
	const struct need n = {.after = {2, 1000}};
	const struct replica there = {.fresh_as_of = 100, .timeline = 2, .lsn = 1000},
	                     short_of = {.fresh_as_of = 100, .timeline = 2, .lsn = 999},
	                     before = {.fresh_as_of = 100, .timeline = 1, .lsn = 2000},
	                     later = {.fresh_as_of = 100, .timeline = 3, .lsn = 1001},
	                     lost = {.fresh_as_of = 100, .timeline = 3, .lsn = 900};
	for (int level = CONSISTENCY_EVENTUAL; level < CONSISTENCY_STRONG; level++) {
		assert_true(met(&n, (enum consistency)level, NEVER, &there));
		assert_true(met(&n, (enum consistency)level, NEVER, &later));
		assert_false(met(&n, (enum consistency)level, NEVER, &short_of));
		assert_false(met(&n, (enum consistency)level, NEVER, &before));
		assert_false(met(&n, (enum consistency)level, NEVER, &lost));
	}
}

static void positions_are_text_and_back(void **state)
{
	(void)state;
	char text[POSITION_TEXT];
	struct position p = {0};
	assert_true(position_read("1/0/3000148", 11, &p));
	assert_int_equal(p.timeline, 1);
	assert_int_equal(p.lsn, 0x3000148);
	position_write(p, text);
	assert_string_equal(text, "1/0/3000148");
	assert_true(position_read("4294967295/ffffffff/FFFFFFFF", 28, &p));
	position_write(p, text);
	assert_string_equal(text, "4294967295/FFFFFFFF/FFFFFFFF");
	position_write((struct position){0}, text);
	assert_string_equal(text, "");
}

static void what_is_no_position_is_refused(void **state)
{
	(void)state;
	static const char *const wrong[] = {"",
	                                    "1",
	                                    "1/0",
	                                    "1/0/",
	                                    "0/0/1",
	                                    "/0/1",
	                                    "1//1",
	                                    "-1/0/1",
	                                    "1/0/1/",
	                                    "1/0/1 ",
	                                    " 1/0/1",
	                                    "1/0/g",
	                                    "a/0/1",
	                                    "4294967296/0/1",
	                                    "1/100000000/1",
	                                    "1/0/100000000",
	                                    "99999999999999999999/0/1"};
	struct position p = {7, 8};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_false(position_read(wrong[i], strlen(wrong[i]), &p));
	assert_false(position_read("1/0/1\0", 6, &p));
	assert_int_equal(p.timeline, 7);
}

static bool tags(struct need *n, const char *sql, char *wrong, size_t size)
{
	*n = (struct need){0};
	*wrong = '\0';
	return need_of_tags(n, sql, strlen(sql), true, wrong, size);
}

static void tags_say_what_a_statement_needs(void **state)
{
	(void)state;
	struct need n;
	char wrong[200];
	assert_true(tags(&n, "select 1 /* moongate: consistency=strong */", wrong, sizeof wrong));
	assert_true(n.leveled);
	assert_int_equal(n.level, CONSISTENCY_STRONG);
	assert_true(tags(&n,
	                 "/* moongate: consistency=bounded, max_staleness=250ms after='1/0/A0' */"
	                 "select 1",
	                 wrong, sizeof wrong));
	assert_int_equal(n.level, CONSISTENCY_BOUNDED);
	assert_true(n.bounded);
	assert_near(n.max_staleness, 0.25);
	assert_int_equal(n.after.lsn, 0xA0);
}

static void other_tags_and_strings_say_nothing(void **state)
{
	(void)state;
	static const char *const texts[] = {"select 1",
	                                    "",
	                                    "select 'moongate: consistency=strong'",
	                                    "select 1 /* consistency='strong' */",
	                                    "select 1::int /* moongate: tenant=a */",
	                                    "select moongate.x"};
	struct need n;
	char wrong[200];
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_true(tags(&n, texts[i], wrong, sizeof wrong));
		assert_false(n.leveled || n.bounded || n.after.timeline);
	}
}

static void a_tag_that_cannot_be_understood_is_named(void **state)
{
	(void)state;
	struct need n;
	char wrong[200];
	assert_false(tags(&n, "select 1 /* moongate: consistency=stong */", wrong, sizeof wrong));
	assert_string_equal(wrong, "moongate.consistency must be eventual, bounded, "
	                           "read_your_writes, session or strong, not \"stong\"");
	assert_false(tags(&n, "select 1 /* moongate: max_staleness=soon */", wrong, sizeof wrong));
	assert_false(tags(&n, "select 1 /* moongate: max_staleness=-1 */", wrong, sizeof wrong));
	assert_false(tags(&n, "select 1 /* moongate: max_staleness=1e3 */", wrong, sizeof wrong));
	assert_false(tags(&n, "select 1 /* moongate: after=0/3000148 */", wrong, sizeof wrong));
	assert_non_null(strstr(wrong, "SHOW moongate.token"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(eventual_takes_any_replica),
	        cmocka_unit_test(bounded_goes_by_the_age_of_what_is_known),
	        cmocka_unit_test(read_your_writes_goes_by_the_last_write),
	        cmocka_unit_test(session_never_steps_back),
	        cmocka_unit_test(strong_takes_no_replica),
	        cmocka_unit_test(a_position_has_to_be_reached_at_every_level),
	        cmocka_unit_test(positions_are_text_and_back),
	        cmocka_unit_test(what_is_no_position_is_refused),
	        cmocka_unit_test(tags_say_what_a_statement_needs),
	        cmocka_unit_test(other_tags_and_strings_say_nothing),
	        cmocka_unit_test(a_tag_that_cannot_be_understood_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
