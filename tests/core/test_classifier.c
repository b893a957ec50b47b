/* test_classifier.c - statements are what the corpus says, from the cache as well as afresh. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/random.h"
#include "corpus.h"
#include "sql/classifier.h"

#include <time.h>

#define MUTATIONS 20

static struct classifier *classifier(void **state)
{
	return *state;
}

static int set_up(void **state)
{
	*state = classifier_new(1000);
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	classifier_free(*state);
	return 0;
}

static const struct facts *facts_of(void **state, const char *sql)
{
	return classifier_facts(classifier(state), NULL, sql, strlen(sql), true);
}

static struct corpus *whole_corpus(void)
{
	struct corpus *corpus = calloc(1, sizeof(*corpus));
	assert_true(corpus_read(corpus, "reads"));
	assert_true(corpus_read(corpus, "writes"));
	assert_true(corpus_read(corpus, "session"));
	assert_true(corpus_read(corpus, "settings"));
	assert_true(corpus_read(corpus, "transactions"));
	assert_true(corpus_read(corpus, "lexical"));
	assert_true(corpus->count > 400 && corpus->count < CORPUS_ROOM);
	return corpus;
}

static void statements_are_what_the_corpus_says(void **state)
{
	struct corpus *corpus = whole_corpus();
	unsigned mistakes = 0;
	for (size_t i = 0; i < corpus->count; i++) {
		const struct record *r = &corpus->records[i];
		const struct facts *facts = classifier_facts(classifier(state), NULL, r->sql,
		                                             r->size, r->standard_strings);
		char found[1024] = "", expected[1024];
		/* "effects=" alone: there are none. */
		snprintf(expected, sizeof(expected), "%s", r->expected);
		size_t size = strlen(expected);
		corpus_describe(facts, r->expected, found, sizeof(found));
		if (size > 9 && strcmp(expected + size - 9, " effects=") == 0)
			expected[size - 9] = '\0';
		assert_true((facts->intent == INTENT_READ) == (facts->reason == NULL));
		if (strcmp(found, expected) == 0)
			continue;
		mistakes++;
		print_error("%s.txt:%u: %s\n  expected %s\n  found    %s (%s)\n", r->file, r->line,
		            r->sql, expected, found, facts->reason ? facts->reason : "");
	}
	corpus_free(corpus);
	free(corpus);
	assert_int_equal(mistakes, 0);
}

static bool same_names(const char *const *a, size_t count, const char *const *b, size_t others)
{
	if (count != others)
		return false;
	for (size_t i = 0; i < count; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

static bool same_facts(const struct facts *a, const struct facts *b)
{
	return a->intent == b->intent && a->kind == b->kind && a->pins == b->pins &&
	       a->effects == b->effects && a->statements == b->statements &&
	       a->fingerprint == b->fingerprint &&
	       same_names(a->tables, a->table_count, b->tables, b->table_count) &&
	       same_names(a->functions, a->function_count, b->functions, b->function_count) &&
	       same_names(a->settings, a->setting_count, b->settings, b->setting_count) &&
	       same_names(&a->name, a->name ? 1 : 0, &b->name, b->name ? 1 : 0);
}

/* One that answers without what it remembers: it remembers one, and that is another statement. */
static const struct facts *fresh_facts(struct classifier *forgetful, const char *sql, size_t size,
                                       bool standard_strings)
{
	classifier_facts(forgetful, NULL, "end", 3, true);
	return classifier_facts(forgetful, NULL, sql, size, standard_strings);
}

/* Changes digits, letters, quotes and brackets: what a cache's key may lose sight of. */
static void mutate(char *sql, size_t size, uint64_t *random)
{
	static const char characters[] = "0123456789'\"$\\-/*()[],;. \nabnexuEU&!i=";
	for (unsigned changes = 1 + random_next(random) % 3; changes && size; changes--) {
		size_t at = random_next(random) % size, other = random_next(random) % size;
		char c = characters[random_next(random) % (sizeof(characters) - 1)];
		switch (random_next(random) % 3) {
		case 0:
			sql[at] = c;
			break;
		case 1:
			sql[at] = sql[other];
			break;
		default: /* most digits and letters stand in literals and names */
			sql[at] = sql[at] >= '0' && sql[at] <= '9' ? c : (char)(sql[at] ^ 0x20);
			sql[at] = sql[at] ? sql[at] : ' ';
		}
	}
}

/* A statement that does not parse may be taken for one of its form that does: a server would
 * refuse it anyway. Any other answer from the cache is the parser's own. */
static void check_mutation(struct classifier *cached, struct classifier *forgetful, const char *sql,
                           size_t size, bool standard_strings)
{
	const struct facts *a = classifier_facts(cached, NULL, sql, size, standard_strings);
	const struct facts *b = fresh_facts(forgetful, sql, size, standard_strings);
	if (!same_facts(a, b) && b->kind != SQL_UNKNOWN) {
		char found[1024], expected[1024];
		corpus_describe(a, " effects=", found, sizeof(found));
		corpus_describe(b, " effects=", expected, sizeof(expected));
		fail_msg("%s\n  afresh     %s\n  remembered %s", sql, expected, found);
	}
}

static void remembered_facts_are_those_that_the_parser_gives(void **state)
{
	struct corpus *corpus = whole_corpus();
	struct classifier *forgetful = classifier_new(1), *cached = classifier_new(100000);
	const char *rounds = getenv("CLASSIFIER_ROUNDS"); /* more, by hand */
	uint64_t random = rounds ? (uint64_t)time(NULL) : 1;
	(void)state;
	for (long round = 0; round < (rounds ? atol(rounds) : MUTATIONS); round++) {
		for (size_t i = 0; i < corpus->count; i++) {
			const struct record *r = &corpus->records[i];
			char *sql = strdup(r->sql);
			if (round)
				mutate(sql, r->size, &random);
			check_mutation(cached, forgetful, sql, r->size, r->standard_strings);
			free(sql);
		}
	}
	classifier_free(forgetful);
	classifier_free(cached);
	corpus_free(corpus);
	free(corpus);
}

static void literals_do_not_tell_statements_apart(void **state)
{
	static const char *const same[][2] = {
	        {"select * from t where a = 1", "SELECT * FROM t WHERE a=-99 -- c"},
	        {"select * from t where a = 'x'", "select * from T where a = $$it's$$"},
	        {"select * from t where a in (1, 2)", "select * from t where a in ('x', -3, NULL)"},
	        {"insert into t values (1, 'a')", "insert into t values (2, null), (3, 'b')"},
	        {"insert into t values ($1, $2)", "insert into t values ($1, $2), ($3, $4)"},
	        {"insert into t values (1, now())", "insert into t values (1, now()), (2, now())"},
	        {"select array[1]", "select array[1, 2, 3]"},
	        {"select a from t where b in (1::int, 2::int)",
	         "select a from t where b in (3::int)"},
	};
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		uint64_t fingerprint = facts_of(state, same[i][0])->fingerprint;
		struct classifier_stats before = classifier_stats(classifier(state));
		assert_int_equal(facts_of(state, same[i][1])->fingerprint, fingerprint);
		assert_int_equal(classifier_stats(classifier(state)).hits, before.hits + 1);
	}
}

static void names_tell_statements_apart(void **state)
{
	static const char *const different[][2] = {
	        {"select a from t", "select a from u"},
	        {"select nextval from t", "select \"nextval\"() from t"},
	        {"select \"select\"", "select select"},
	        {"select \"A\"", "select a"},
	        {"select \"A\"", "select \"B\""},
	        {"select f(1)", "select f('x', 1)"},
	        {"select 1, 2", "select 1"},
	        {"values (1)", "values (1, 2)"},
	        {"select * from t where a in (1)", "select * from t where a in (select 1)"},
	        {"select 1 from t limit 1", "select 1 from t limit 1, 2"},
	        {"select U&'a'", "select U & 'a'"},
	        {"select \"a\"\"b\"", "select \"a\" \"b\""},
	        {"execute a(1)", "execute b(1)"},
	        {"execute a", "execute \"A\""},
	        {"deallocate a", "deallocate b"},
	        {"deallocate \"all\"", "deallocate all"},
	        {"prepare a as select 1", "prepare b as select 1"},
	};
	for (size_t i = 0; i < sizeof(different) / sizeof(different[0]); i++) {
		uint64_t fingerprint = facts_of(state, different[i][0])->fingerprint;
		assert_true(facts_of(state, different[i][1])->fingerprint != fingerprint);
	}
}

static void where_a_literal_decides_it_is_looked_at(void **state)
{
	assert_int_equal(facts_of(state, "select set_config('a', 'b', true)")->setting_count, 0);
	assert_string_equal(facts_of(state, "select set_config('a', 'b', false)")->settings[0],
	                    "a");
	assert_string_equal(facts_of(state, "select set_config('b', 'b', false)")->settings[0],
	                    "b");
	assert_int_equal(facts_of(state, "explain (analyze 0) delete from t")->intent, INTENT_READ);
	assert_int_equal(facts_of(state, "explain (analyze 1) delete from t")->intent,
	                 INTENT_WRITE);
	assert_int_equal(facts_of(state, "select current_setting('port')")->intent, INTENT_READ);
	assert_int_equal(facts_of(state, "select current_setting('in_hot_standby')")->intent,
	                 INTENT_WRITE);
	assert_int_equal(facts_of(state, "select 1::float(1)")->intent, INTENT_READ);
	assert_int_equal(facts_of(state, "select 1::float(99)")->kind, SQL_UNKNOWN);
	assert_int_equal(facts_of(state, "select 1::float(2)")->intent, INTENT_READ);
	/* Its fingerprint does not hang on it. */
	uint64_t fingerprint = facts_of(state, "set a = 'b'")->fingerprint;
	assert_int_equal(facts_of(state, "set a = 'c'")->fingerprint, fingerprint);
}

static void the_same_text_means_another_with_another_setting(void **state)
{
	static const char sql[] = "select '\\'; delete from t; --'";
	size_t size = strlen(sql);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
		        classifier_facts(classifier(state), NULL, sql, size, false)->intent,
		        INTENT_READ);
		assert_int_equal(classifier_facts(classifier(state), NULL, sql, size, true)->intent,
		                 INTENT_WRITE);
	}
}

static void a_literal_that_decides_is_read_as_the_setting_says(void **state)
{
	static const char sql[] = "select set_config('search_path', 'pg\\_temp', true)";
	size_t size = strlen(sql);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(classifier_facts(classifier(state), NULL, sql, size, false)->pins,
		                 PIN_TEMP);
		assert_int_equal(classifier_facts(classifier(state), NULL, sql, size, true)->pins,
		                 0);
	}
}

static void a_statement_that_a_server_refused_is_a_write_from_then_on(void **state)
{
	static const char sql[] = "select * from v where a = 1";
	assert_int_equal(facts_of(state, sql)->intent, INTENT_READ);
	classifier_learn_write(classifier(state), NULL, sql, strlen(sql), true);
	const struct facts *facts = facts_of(state, "select * from v where a = 2");
	assert_int_equal(facts->intent, INTENT_WRITE);
	assert_non_null(facts->reason);
	assert_int_equal(facts->kind, SQL_SELECT);
	classifier_learn_write(classifier(state), NULL, "select * from w", 15, true);
	assert_int_equal(facts_of(state, "select * from w")->intent, INTENT_WRITE);
	assert_int_equal(facts_of(state, "select * from u")->intent, INTENT_READ);
}

static void a_syntax_error_is_remembered_by_its_text_alone(void **state)
{
	facts_of(state, "select 1 from from t where a = 1");
	struct classifier_stats before = classifier_stats(classifier(state));
	facts_of(state, "select 1 from from t where a = 1");
	assert_int_equal(classifier_stats(classifier(state)).hits, before.hits + 1);
	facts_of(state, "select 1 from from t where a = 2");
	assert_int_equal(classifier_stats(classifier(state)).misses, before.misses + 1);
}

static void the_least_recently_used_statement_goes_first(void **state)
{
	(void)state;
	struct classifier *c = classifier_new(2);
	classifier_facts(c, NULL, "select a", 8, true);
	classifier_facts(c, NULL, "select b", 8, true);
	classifier_facts(c, NULL, "select a", 8, true);
	classifier_facts(c, NULL, "select c", 8, true);
	struct classifier_stats stats = classifier_stats(c);
	assert_int_equal(stats.hits, 1);
	assert_int_equal(stats.misses, 3);
	assert_int_equal(stats.evictions, 1);
	assert_int_equal(stats.entries, 2);
	classifier_facts(c, NULL, "select a", 8, true);
	assert_int_equal(classifier_stats(c).hits, 2);
	classifier_facts(c, NULL, "select b", 8, true);
	assert_int_equal(classifier_stats(c).hits, 2);
	classifier_free(c);
}

/* Whoever keeps a copy of facts asks again when the epoch has grown. */
static void the_epoch_grows_when_a_statement_becomes_a_write(void **state)
{
	struct classifier *c = classifier(state);
	uint64_t epoch = classifier_epoch(c);
	facts_of(state, "select * from v");
	assert_int_equal(classifier_epoch(c), epoch);
	classifier_learn_write(c, NULL, "select * from v", 15, true);
	assert_true(classifier_epoch(c) > epoch);
	epoch = classifier_epoch(c);
	classifier_learn_write(c, NULL, "select * from v", 15, true);
	classifier_learn_write(c, NULL, "delete from v", 13, true);
	assert_int_equal(classifier_epoch(c), epoch);
}

static void a_copy_outlives_its_classifier(void **state)
{
	(void)state;
	static const char sql[] = "select now() from a, b where set_config(e'X.y', '', false) = ''";
	struct classifier *c = classifier_new(1);
	struct facts *copy = facts_copy(classifier_facts(c, NULL, sql, sizeof(sql) - 1, true));
	struct facts *named = facts_copy(classifier_facts(c, NULL, "execute \"P\"", 11, true));
	classifier_free(c);
	assert_int_equal(copy->table_count, 2);
	assert_string_equal(copy->tables[1], "b");
	assert_string_equal(copy->functions[0], "now");
	assert_int_equal(copy->setting_count, 1);
	assert_string_equal(copy->settings[0], "x.y");
	assert_null(copy->name);
	assert_string_equal(named->name, "P");
	free(copy);
	free(named);
}

static void settings_pin_whom_they_cannot_follow(void **state)
{
	assert_int_equal(facts_of(state, "set a.b = 'c'")->pins, 0);
	assert_int_equal(facts_pins_with_settings(facts_of(state, "set a.b = 'c'")), PIN_SESSION);
	assert_int_equal(facts_pins_with_settings(facts_of(state, "set local a.b = 'c'")), 0);
	assert_int_equal(facts_pins_with_settings(facts_of(state, "listen c")), PIN_LISTEN);
	assert_int_equal(facts_pins_with_settings(facts_of(state, "reset all")), PIN_SESSION);
	assert_int_equal(facts_pins_with_settings(facts_of(state, "discard all")), 0);
}

static void doubt_about_a_function_is_no_knowledge_that_it_writes(void **state)
{
	static const char *const surely[] = {
	        "insert into t values (1)",
	        "select nextval('s')",
	        "with x as (delete from t returning 1) select * from x",
	        "select 1 into t",
	        "create table t (a int)",
	        "explain analyze delete from t",
	        "select 1; delete from t",
	};
	static const char *const perhaps[] = {
	        "select 1",
	        "select my_function(1)",
	        "select pg_backend_pid()",
	        "select 1 for update",
	        "set a = 1",
	        "select 1::float(99)",
	};
	for (size_t i = 0; i < sizeof surely / sizeof *surely; i++)
		assert_true(facts_writes_surely(facts_of(state, surely[i])));
	for (size_t i = 0; i < sizeof perhaps / sizeof *perhaps; i++)
		assert_false(facts_writes_surely(facts_of(state, perhaps[i])));
}

static void what_closes_all_prepared_statements_is_known(void **state)
{
	assert_true(facts_forget_prepared(facts_of(state, "discard all")));
	assert_true(facts_forget_prepared(facts_of(state, "deallocate all")));
	assert_true(facts_forget_prepared(facts_of(state, "select 1; discard all")));
	assert_false(facts_forget_prepared(facts_of(state, "deallocate mine")));
	assert_false(facts_forget_prepared(facts_of(state, "discard plans")));
	assert_false(facts_forget_prepared(facts_of(state, "select 1")));
}

static void a_text_with_a_nul_inside_is_in_doubt(void **state)
{
	static const char sql[] = "select 1 \0; delete from t";
	assert_int_equal(
	        classifier_facts(classifier(state), NULL, sql, sizeof(sql) - 1, true)->intent,
	        INTENT_WRITE);
	assert_int_equal(facts_of(state, "select 1 ")->intent, INTENT_READ);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	        T(statements_are_what_the_corpus_says),
	        T(remembered_facts_are_those_that_the_parser_gives),
	        T(literals_do_not_tell_statements_apart),
	        T(names_tell_statements_apart),
	        T(where_a_literal_decides_it_is_looked_at),
	        T(the_same_text_means_another_with_another_setting),
	        T(a_literal_that_decides_is_read_as_the_setting_says),
	        T(a_statement_that_a_server_refused_is_a_write_from_then_on),
	        T(a_syntax_error_is_remembered_by_its_text_alone),
	        T(the_least_recently_used_statement_goes_first),
	        T(the_epoch_grows_when_a_statement_becomes_a_write),
	        T(a_copy_outlives_its_classifier),
	        T(settings_pin_whom_they_cannot_follow),
	        T(a_text_with_a_nul_inside_is_in_doubt),
	        T(doubt_about_a_function_is_no_knowledge_that_it_writes),
	        T(what_closes_all_prepared_statements_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
