/* test_limits.c - no text crashes the classifier, holds it for long, or is taken for a read because
 * nobody looked at it. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "sql/classifier.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SMALL_STACK (512 * 1024)

/* What a statement takes is a matter of milliseconds (`make bench-classify`); what is quadratic,
 * or worse, takes minutes. Under sanitizers on a busy machine this tells the two apart. */
#define SECONDS 20.0

static const char *const shapes[][3] = {
        {"select ", "(", "1"},
        {"select ", "(", ""},
        {"", "(", "select 1"},
        {"select ", "(select ", "1"},
        {"select * from ", "(select * from ", "t"},
        {"select ", "not ", "true"},
        {"select ", "- ", "1"},
        {"select ", "@ ", "1"},
        {"select ", "case when true then ", "1"},
        {"select case", " when true then 1", " end"},
        {"select 1", "+1", ""},
        {"select 1", " and 1", ""},
        {"select 1", " is null", ""},
        {"select 1", "::int", ""},
        {"select 1", "+", ""},
        {"select 1 ", "+", " 1"},
        {"select 1 ", "/*", ""},
        {"select 1 ", "/*", "*/"},
        {"select 1 ", "+-", " 1"},
        {"select /*", "/", "*/ 1"},
        {"select /*", "*", "*/ 1"},
        {"select ", "array[", "1"},
        {"select a", "[1]", " from t"},
        {"select ", "f(", "1"},
        {"select a", ".a", " from t"},
        {"select a", " -> 'b'", " from t"},
        {"select * from t", " join t on true", ""},
        {"select * from ", "t join (", "t"},
        {"select 1", " union select 1", ""},
        {"", "with a as (", "select 1"},
        {"with a as (select 1)", ", a as (select * from a)", " select * from a"},
        {"select 1 where 1 in (1", ", 1", ")"},
        {"insert into t values (1)", ", (1)", ""},
        {"values (a)", ", (a)", ""},
        {"", "select 1;", ""},
        {"", "create global temp table a ();", ""},
        {"select 'a'", ",'\\a'", ""},
        {"select '", "''", "'"},
        {"select E'", "\\'", "'"},
        {"select '", "a", ""},
        {"select $$", "$", "$$"},
        {"select ", "$a", "$"},
        {"select \"", "\"\"", "\""},
        {"select ", "a", ""},
        {"select ", " ", "1"},
        {"select 1", "\n--", "\n"},
        {"do $$ ", "begin ", "$$"},
        {"explain ", "(analyze) ", "select 1"},
        {"set a to b", ", b", ""},
        {"", ";", ""},
        {"", "\xff", ""},
        {"", "\x01", ""},
};

static const size_t counts[] = {1, 10000, 100000, 1000000};

static char *repeated(const char *const *shape, size_t count, size_t *size)
{
	size_t before = strlen(shape[0]), unit = strlen(shape[1]), after = strlen(shape[2]);
	*size = before + count * unit + after;
	char *text = malloc(*size + 1), *at = mempcpy(text, shape[0], before);
	for (size_t i = 0; i < count; i++)
		at = mempcpy(at, shape[1], unit);
	memcpy(at, shape[2], after + 1);
	return text;
}

static double cpu_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void classify_all_shapes(void)
{
	struct classifier *c = classifier_new(10);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		for (size_t j = 0; j < sizeof(counts) / sizeof(counts[0]); j++) {
			size_t size;
			char *text = repeated(shapes[i], counts[j], &size);
			double start = cpu_now();
			for (int standard = 0; standard < 2; standard++) {
				const struct facts *f =
				        classifier_facts(c, NULL, text, size, standard);
				assert_true(f->kind < SQL_KINDS);
				assert_true((f->intent == INTENT_READ) == (f->reason == NULL));
			}
			if (cpu_now() - start > SECONDS)
				fail_msg("%zu times %s took %.3f s", counts[j], shapes[i][1],
				         cpu_now() - start);
			free(text);
		}
	}
	classifier_free(c);
}

static void survives_any_depth_and_length(void **state)
{
	(void)state;
	classify_all_shapes();
}

static void *on_thread(void *arg)
{
	classify_all_shapes();
	return arg;
}

static void survives_them_on_a_thread_with_a_small_stack(void **state)
{
	(void)state;
	pthread_t thread;
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	assert_int_equal(pthread_attr_setstacksize(&attributes, SMALL_STACK), 0);
	assert_int_equal(pthread_create(&thread, &attributes, on_thread, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attributes);
}

static enum intent intent_of(const char *before, const char *unit, const char *after, size_t count)
{
	const char *const shape[] = {before, unit, after};
	size_t size;
	char *text = repeated(shape, count, &size);
	struct classifier *c = classifier_new(1);
	enum intent intent = classifier_facts(c, NULL, text, size, true)->intent;
	classifier_free(c);
	free(text);
	return intent;
}

static void long_and_deep_statements_are_still_read(void **state)
{
	(void)state;
	assert_int_equal(intent_of("select 1", "+1", "", 10000), INTENT_READ);
	assert_int_equal(intent_of("select 1", "+1", "+nextval('s')", 10000), INTENT_WRITE);
	assert_int_equal(intent_of("select nextval('s')", "+1", "", 10000), INTENT_WRITE);
	assert_int_equal(intent_of("select 1", " union select 1", "", 10000), INTENT_READ);
	assert_int_equal(intent_of("select 1", " union select 1", " union select f()", 10000),
	                 INTENT_WRITE);
	assert_int_equal(intent_of("select ", "not ", "true", 5000), INTENT_READ);
	assert_int_equal(intent_of("select ", "not ", "f()", 5000), INTENT_WRITE);
	assert_int_equal(intent_of("select 1 where 1 in (1", ", 1", ")", 20000), INTENT_READ);
	assert_int_equal(intent_of("select '", "a", "'", 1000000), INTENT_READ);
}

static void what_is_beyond_the_limits_is_a_write(void **state)
{
	(void)state;
	assert_int_equal(intent_of("select a", ", a", "", 1000000), INTENT_WRITE);
	assert_int_equal(intent_of("select '", "a", "'", 10000000), INTENT_WRITE);
	assert_int_equal(intent_of("select 1 ", "+", " 1", 100000), INTENT_WRITE);
}

/* Beyond the limits only if its form is not known from a shorter one. */
static void a_long_list_is_known_by_a_short_one(void **state)
{
	(void)state;
	static const char *const list[] = {"select * from t where a in (1", ", 1", ")"};
	size_t size;
	char *text = repeated(list, 100000, &size);
	struct classifier *c = classifier_new(10);
	assert_int_equal(classifier_facts(c, NULL, text, size, true)->intent, INTENT_WRITE);
	assert_int_equal(classifier_stats(c).refused, 1);
	assert_int_equal(
	        classifier_facts(c, NULL, "select * from t where a in (2)", 30, true)->intent,
	        INTENT_READ);
	assert_int_equal(classifier_facts(c, NULL, text, size, true)->intent, INTENT_READ);
	assert_int_equal(classifier_stats(c).hits, 1);
	classifier_free(c);
	free(text);
}

static unsigned pins_of(const char *before, const char *unit, const char *after, size_t count)
{
	const char *const shape[] = {before, unit, after};
	size_t size;
	char *text = repeated(shape, count, &size);
	struct classifier *c = classifier_new(1);
	const struct facts *facts = classifier_facts(c, NULL, text, size, true);
	assert_int_equal(facts->kind, SQL_UNKNOWN);
	unsigned pins = facts->pins;
	classifier_free(c);
	free(text);
	return pins;
}

static void pins_of_what_is_not_parsed_are_told_by_its_words(void **state)
{
	(void)state;
	assert_int_equal(pins_of("insert into t values (f(1)", ", a", ")", 60000), 0);
	assert_int_equal(pins_of("select a", ", a", "; create temp table t ()", 60000), PIN_TEMP);
	assert_int_equal(pins_of("select a", ", a", "; set a.b = 'c'", 60000), PIN_SESSION);
	/* Words that nobody has seen may say anything. */
	assert_true(pins_of("select a", ", a", "", 1000000) & PIN_SESSION);
	assert_true(pins_of("select '", "a", "'", 10000000) & PIN_SESSION);
}

/* More names than any honest statement has. */
static void too_many_names_are_a_write(void **state)
{
	(void)state;
	char text[32 * 2000] = "select * from t", name[32];
	char *at = text + strlen(text);
	for (int i = 0; i < 2000; i++) {
		int size = snprintf(name, sizeof(name), ", t%d", i);
		at = mempcpy(at, name, (size_t)size);
	}
	*at = '\0';
	struct classifier *c = classifier_new(1);
	const struct facts *facts = classifier_facts(c, NULL, text, strlen(text), true);
	assert_int_equal(facts->intent, INTENT_WRITE);
	assert_int_equal(facts->kind, SQL_UNKNOWN);
	classifier_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(survives_any_depth_and_length),
	        cmocka_unit_test(survives_them_on_a_thread_with_a_small_stack),
	        cmocka_unit_test(long_and_deep_statements_are_still_read),
	        cmocka_unit_test(what_is_beyond_the_limits_is_a_write),
	        cmocka_unit_test(a_long_list_is_known_by_a_short_one),
	        cmocka_unit_test(pins_of_what_is_not_parsed_are_told_by_its_words),
	        cmocka_unit_test(too_many_names_are_a_write),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
