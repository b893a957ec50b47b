/* test_catalog.c - what a catalog makes of its objects, and the classifier of a catalog. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "sql/catalog_builder.h"
#include "sql/classifier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTION(schema_, name_, flags_, body_)                                                    \
	{                                                                                          \
		.kind = 'f', .schema = schema_, .name = name_, .flags = flags_, .body = body_      \
	}
#define CALLS(kind_, name_, called_kind_, called_schema_, called_name_)                            \
	{                                                                                          \
		.kind = kind_, .schema = "app", .name = name_, .called_kind = called_kind_,        \
		.called_schema = called_schema_, .called_name = called_name_                       \
	}

static const struct catalog_row rows[] = {
        FUNCTION("app", "writes", "vS", "insert into t values (1) returning id"),
        FUNCTION("app", "reads", "vS", "select count(*) from t where a = abs(-1)"),
        FUNCTION("app", "stable", "sP", NULL),
        FUNCTION("app", "native", "vC", NULL),
        FUNCTION("app", "atomic", "vA", NULL),
        FUNCTION("app", "mixed", "iS", NULL), /* two overloads */
        FUNCTION("app", "mixed", "vC", NULL),
        FUNCTION("app", "twin", "sS", NULL), /* in two schemas */
        FUNCTION("other", "twin", "vC", NULL),
        FUNCTION("app", "lower", "vC", NULL), /* as one of PostgreSQL's */
        FUNCTION("app", "upper", "iC", NULL),
        FUNCTION("app", "first", "vS", "select second()"), /* a cycle, and a way out of it */
        FUNCTION("app", "second", "vS", "select first(), third()"),
        FUNCTION("app", "third", "vP", "begin return app.writes(); end"),
        FUNCTION("app", "circle", "vS", "select app.circle()"),
        FUNCTION("app", "aggregate", "iI", NULL),
        CALLS('f', "aggregate", 'f', "app", "writes"),
        FUNCTION("app", "defaulted", "iS", NULL),
        CALLS('f', "defaulted", 'f', "pg_catalog", "nextval"),
        FUNCTION("app", "of_row", "vSU", "insert into t values (1)"),
        FUNCTION("app", "of_row_reads", "sSU", NULL),
        FUNCTION("app", "uuid_generate_v4", "vC", NULL),
        FUNCTION("app", "locks", "vP", "begin perform pg_advisory_lock(1); end"),
        FUNCTION("app", "sets", "vS", "select set_config('a.b', 'c', false)"),
        FUNCTION("app", "sets_local", "vS", "select set_config('a.b', 'c', true)"),
        FUNCTION("app", "tells", "vS", "select pg_backend_pid()"),
        FUNCTION("app", "asks", "vS", "select currval('s')"),
        FUNCTION("app", "trigger_temp", "vP",
                 "begin create temp table x as select 1; return new; end"),
        FUNCTION("app", "trigger_plain", "vP",
                 "begin insert into log(a, b) values (new.a, now()); return new; end"),
        CALLS('r', "view", 'f', "app", "writes"),
        CALLS('r', "view_of_view", 'r', "app", "view"),
        CALLS('r', "view_of_node", 'r', "pg_catalog", "pg_stat_activity"),
        CALLS('r', "view_of_pid", 'f', "pg_catalog", "pg_backend_pid"),
        CALLS('r', "view_of_reads", 'f', "app", "reads"),
        CALLS('r', "view_of_temp", 'r', "app", "temp"),
        {.kind = 'r', .schema = "app", .name = "unlogged", .flags = "W"},
        {.kind = 'r', .schema = "app", .name = "sequence", .flags = "N"},
        CALLS('w', "temp", 'f', "app", "trigger_temp"),
        CALLS('w', "plain", 'f', "app", "trigger_plain"),
        CALLS('w', "numbered", 'f', "pg_catalog", "currval"),
        CALLS('w', "parent", 'w', "app", "temp"),
        {.kind = 'o', .schema = "app", .name = "@#@"},
        CALLS('o', "@#@", 'f', "app", "writes"),
        {.kind = 'o', .schema = "app", .name = "@@@#"},
        CALLS('o', "@@@#", 'f', "app", "stable"),
        {.kind = 'o', .schema = "app", .name = "=", .flags = "B"},
        CALLS('o', "=", 'f', "app", "native"),
        CALLS('t', "target", 'f', "app", "writes"),
        CALLS('d', "domain", 'f', "app", "writes"),
        CALLS('d', "domain_of_domain", 'd', "app", "domain"),
        CALLS('r', "view_of_domain", 'd', "app", "domain_of_domain"),
};

struct fixture {
	struct classifier *classifier;
	struct catalog *catalog;
};

static struct catalog *build(const struct catalog_overrides *overrides,
                             const struct catalog_row *list, size_t count)
{
	struct catalog_builder *b = catalog_builder_new(overrides);
	assert_non_null(b);
	for (size_t i = 0; i < count; i++)
		assert_true(catalog_builder_add(b, &list[i]));
	while (catalog_builder_step(b))
		continue;
	struct catalog *catalog = catalog_builder_finish(b);
	catalog_builder_free(b);
	assert_non_null(catalog);
	return catalog;
}

static struct catalog *build_all(const struct catalog_overrides *overrides)
{
	return build(overrides, rows, sizeof(rows) / sizeof(*rows));
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	*state = f;
	f->classifier = classifier_new(1000);
	f->catalog = build_all(NULL);
	return f->classifier ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	classifier_free(f->classifier);
	catalog_free(f->catalog);
	free(f);
	return 0;
}

static const struct facts *facts_of(void **state, const char *sql)
{
	const struct fixture *f = *state;
	return classifier_facts(f->classifier, f->catalog, sql, strlen(sql), true);
}

static void assert_intent(void **state, const char *sql, enum intent intent)
{
	const struct facts *facts = facts_of(state, sql);
	if (facts->intent != intent)
		fail_msg("%s: a %s (%s)", sql, facts->intent == INTENT_READ ? "read" : "write",
		         facts->reason ? facts->reason : "");
}

static void all_are(void **state, enum intent intent, const char *const *list)
{
	for (; *list; list++)
		assert_intent(state, *list, intent);
}

static void functions_are_judged_by_the_catalog(void **state)
{
	static const char *const writes[] = {
	        "select writes()",
	        "select app.writes()",
	        "select native()",
	        "select mixed(1)", /* the worst of its overloads */
	        "select twin()",   /* and of all schemas */
	        "select other.twin()",
	        "select lower('x')", /* the user's may be meant */
	        "select app.lower('x')",
	        "select first()",
	        "select second()",
	        "select app.third()",
	        "select aggregate(a) from t",
	        "select defaulted()",
	        "select unheard_of()",
	        "select app.unheard_of()",
	        "select * from writes()",
	        "select 1 where exists (select 1 from t where writes() > a)",
	        "explain analyze select writes()",
	        NULL};
	static const char *const reads[] = {"select reads()",
	                                    "select app.reads()",
	                                    "select stable()",
	                                    "select atomic()",
	                                    "select app.twin()",
	                                    "select upper('x')",
	                                    "select pg_catalog.lower('x')",
	                                    "select circle()",
	                                    "select app.uuid_generate_v4()",
	                                    "explain select writes()",
	                                    "select * from reads() as r, stable() as s",
	                                    NULL};
	all_are(state, INTENT_WRITE, writes);
	all_are(state, INTENT_READ, reads);
}

static void relations_are_judged_by_what_they_call(void **state)
{
	static const char *const writes[] = {"select * from view",
	                                     "select * from app.view_of_view",
	                                     "select * from view_of_node",
	                                     "select * from view_of_pid",
	                                     "select * from unlogged",
	                                     "select last_value from app.sequence",
	                                     "table view",
	                                     "copy view to stdout",
	                                     "select * from view_of_domain",
	                                     NULL};
	static const char *const reads[] = {"select * from view_of_reads",
	                                    "select * from app.plain", "select * from other.view",
	                                    "with view as (select 1) select * from view", NULL};
	all_are(state, INTENT_WRITE, writes);
	all_are(state, INTENT_READ, reads);
}

static void operators_casts_and_fields_may_call_functions(void **state)
{
	static const char *const writes[] = {"select 1 @#@ 2",
	                                     "select 1 operator(app.@#@) 2",
	                                     "select 1 operator(app.##) 2", /* not known */
	                                     "select '1'::app.target",
	                                     "select cast(1 as target)",
	                                     "select 1::domain",
	                                     "select 1::app.domain_of_domain",
	                                     "select t.of_row from t",
	                                     "select (t).of_row from t",
	                                     "select (t.x).of_row from t",
	                                     NULL};
	static const char *const reads[] = {
	        "select 1 @@@# 2",
	        "select 1 operator(app.@@@#) 2",
	        "select 1 operator(pg_catalog.=) 2",
	        "select 1 where a = 2 and b between 1 and 2", /* `=` is PostgreSQL's as a rule */
	        "select '1'::int, '2'::app.unheard_of",
	        "select t.of_row_reads, t.a from t",
	        "select of_row from t",
	        NULL};
	all_are(state, INTENT_WRITE, writes);
	all_are(state, INTENT_READ, reads);
}

static void assert_effects(void **state, const char *sql, unsigned mask, unsigned effects)
{
	const struct facts *facts = facts_of(state, sql);
	if ((facts->effects & mask) != effects)
		fail_msg("%s: has effects %x", sql, facts->effects & mask);
}

static void only_what_may_pin_is_looked_at(void **state)
{
	static const char *const harmless[] = {
	        "select reads()",      "select app.stable()",
	        "select writes()",     "insert into plain values (1)",
	        "select sets_local()", NULL};
	static const char *const hidden[] = {"select native()",
	                                     "select locks()",
	                                     "select unheard_of()",
	                                     "insert into temp values (1)",
	                                     "update temp set a = 1",
	                                     "delete from app.temp",
	                                     "truncate temp",
	                                     "copy temp from stdin",
	                                     "delete from parent", /* it goes on to another */
	                                     "insert into view_of_temp values (1)",
	                                     "merge into temp using x on true when matched then "
	                                     "delete",
	                                     NULL};
	for (const char *const *sql = harmless; *sql; sql++)
		assert_effects(state, *sql, EFFECT_MAY_PIN, 0);
	for (const char *const *sql = hidden; *sql; sql++)
		assert_effects(state, *sql, EFFECT_MAY_PIN, EFFECT_MAY_PIN);
	assert_int_equal(facts_of(state, "select sets()")->pins, PIN_SESSION);
	assert_int_equal(facts_of(state, "select sets_local()")->pins, 0);
}

static void questions_for_sequences_are_seen(void **state)
{
	assert_effects(state, "insert into numbered values (1)", EFFECT_SEQUENCE, EFFECT_SEQUENCE);
	assert_effects(state, "select asks()", EFFECT_SEQUENCE, EFFECT_SEQUENCE);
	assert_effects(state, "select * from numbered", EFFECT_SEQUENCE, 0);
	assert_effects(state, "insert into plain values (1)", EFFECT_SEQUENCE, 0);
}

static void what_tells_of_the_node_does_not_write(void **state)
{
	assert_effects(state, "select tells()", EFFECT_NODE | EFFECT_VOLATILE, EFFECT_NODE);
	assert_intent(state, "select tells()", INTENT_WRITE);
}

static void operators_have_the_last_word(void **state)
{
	static const char *const read[] = {"writes", "other.twin", "unheard_of"},
	                         *const write[] = {"app.stable", "upper"};
	struct fixture *f = *state;
	const struct catalog_overrides overrides = {
	        .reads = read, .read_count = 3, .writes = write, .write_count = 2};
	catalog_free(f->catalog);
	f->catalog = build_all(&overrides);
	static const char *const writes[] = {"select app.stable()", "select stable()",
	                                     "select upper('x')", "select 1 @@@# 2", NULL};
	static const char *const reads[] = {"select writes()",
	                                    "select app.writes()",
	                                    "select other.twin()",
	                                    "select twin()",
	                                    "select unheard_of()",
	                                    "select whose.unheard_of()",
	                                    "select * from view_of_view",
	                                    "select 1 @#@ 2",
	                                    NULL};
	all_are(state, INTENT_WRITE, writes);
	all_are(state, INTENT_READ, reads);
}

static void operators_are_heard_before_any_catalog_is_read(void **state)
{
	static const char *const read[] = {"mine"}, *const write[] = {"lower"};
	struct fixture *f = *state;
	const struct catalog_overrides overrides = {
	        .reads = read, .read_count = 1, .writes = write, .write_count = 1};
	catalog_free(f->catalog);
	f->catalog = catalog_of_overrides(&overrides);
	assert_intent(state, "select mine()", INTENT_READ);
	assert_intent(state, "select app.mine()", INTENT_READ);
	assert_intent(state, "select lower('x')", INTENT_WRITE);
	assert_intent(state, "select upper('x')", INTENT_READ);
	assert_intent(state, "select other()", INTENT_WRITE);
	assert_effects(state, "select mine()", EFFECT_MAY_PIN, 0);
}

static void versions_tell_contents_apart(void **state)
{
	const struct fixture *f = *state;
	struct catalog *same = build_all(NULL);
	static struct catalog_row turned[sizeof(rows) / sizeof(*rows)];
	size_t count = sizeof(rows) / sizeof(*rows);
	for (size_t i = 0; i < count; i++)
		turned[i] = rows[count - 1 - i];
	struct catalog *other_order = build(NULL, turned, count);
	struct catalog *less = build(NULL, rows, count - 1);
	const struct catalog_row changed[] = {FUNCTION("app", "a", "vC", NULL)},
	                         before[] = {FUNCTION("app", "a", "sC", NULL)};
	struct catalog *a = build(NULL, changed, 1), *b = build(NULL, before, 1);
	assert_int_equal(catalog_version(f->catalog), catalog_version(same));
	assert_int_equal(catalog_version(f->catalog), catalog_version(other_order));
	assert_int_not_equal(catalog_version(f->catalog), catalog_version(less));
	assert_int_not_equal(catalog_version(a), catalog_version(b));
	assert_int_equal(catalog_version(NULL), 0);
	catalog_free(same);
	catalog_free(other_order);
	catalog_free(less);
	catalog_free(a);
	catalog_free(b);
}

static void a_change_that_is_undone_is_a_new_version(void **state)
{
	const struct catalog_row changed[] = {FUNCTION("app", "a", "vC", NULL)},
	                         before[] = {FUNCTION("app", "a", "sC", NULL)};
	struct catalog *list[] = {build(NULL, before, 1), build(NULL, before, 1),
	                          build(NULL, changed, 1), build(NULL, before, 1),
	                          build(NULL, before, 1)};
	(void)state;
	for (size_t i = 0; i < 5; i++)
		catalog_follows(list[i], i ? list[i - 1] : NULL, i == 4);
	assert_int_equal(catalog_version(list[0]), catalog_version(list[1]));
	assert_int_not_equal(catalog_version(list[1]), catalog_version(list[2]));
	assert_int_not_equal(catalog_version(list[2]), catalog_version(list[3]));
	assert_int_not_equal(catalog_version(list[1]), catalog_version(list[3]));
	assert_int_not_equal(catalog_version(list[3]), catalog_version(list[4])); /* taught */
	for (size_t i = 0; i < 5; i++)
		catalog_free(list[i]);
}

/* Two databases, or one before and after a change: the cache tells them apart. */
static void no_verdict_outlives_its_catalog(void **state)
{
	static const char text[] = "select f()";
	const struct fixture *f = *state;
	const struct catalog_row volatile_row[] = {FUNCTION("app", "f", "vC", NULL)},
	                         stable_row[] = {FUNCTION("app", "f", "sC", NULL)};
	struct catalog *one = build(NULL, volatile_row, 1), *two = build(NULL, stable_row, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(
		        classifier_facts(f->classifier, one, text, strlen(text), true)->intent,
		        INTENT_WRITE);
		assert_int_equal(
		        classifier_facts(f->classifier, two, text, strlen(text), true)->intent,
		        INTENT_READ);
		assert_int_equal(
		        classifier_facts(f->classifier, NULL, text, strlen(text), true)->intent,
		        INTENT_WRITE);
	}
	assert_int_equal(classifier_stats(f->classifier).misses, 3);
	classifier_learn_write(f->classifier, two, text, strlen(text), true);
	assert_int_equal(classifier_facts(f->classifier, two, text, strlen(text), true)->intent,
	                 INTENT_WRITE);
	catalog_free(one);
	catalog_free(two);
}

static void a_catalog_that_is_too_large_is_refused(void **state)
{
	struct catalog_builder *b = catalog_builder_new(NULL);
	const struct catalog_row row = FUNCTION("app", "f", "sC", NULL);
	(void)state;
	for (size_t i = 0; i < CATALOG_ROWS; i++)
		assert_true(catalog_builder_add(b, &row));
	assert_false(catalog_builder_add(b, &row));
	catalog_builder_free(b);
}

static void many_functions_are_all_found(void **state)
{
	struct fixture *f = *state;
	struct catalog_builder *b = catalog_builder_new(NULL);
	char name[32], text[64];
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		const struct catalog_row row = FUNCTION("app", name, i % 2 ? "vC" : "sC", NULL);
		assert_true(catalog_builder_add(b, &row));
	}
	while (catalog_builder_step(b))
		continue;
	catalog_free(f->catalog);
	f->catalog = catalog_builder_finish(b);
	catalog_builder_free(b);
	assert_int_equal(catalog_size(f->catalog).functions, 40000); /* and without a schema */
	assert_true(catalog_size(f->catalog).bytes < (4 << 20));
	for (int i = 0; i < 20000; i += 7) {
		snprintf(text, sizeof(text), "select %sf%d()", i % 3 ? "app." : "", i);
		assert_intent(state, text, i % 2 ? INTENT_WRITE : INTENT_READ);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(functions_are_judged_by_the_catalog, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(relations_are_judged_by_what_they_call, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(operators_casts_and_fields_may_call_functions,
	                                        set_up, tear_down),
	        cmocka_unit_test_setup_teardown(only_what_may_pin_is_looked_at, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(questions_for_sequences_are_seen, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(what_tells_of_the_node_does_not_write, set_up,
	                                        tear_down),
	        cmocka_unit_test_setup_teardown(operators_have_the_last_word, set_up, tear_down),
	        cmocka_unit_test_setup_teardown(operators_are_heard_before_any_catalog_is_read,
	                                        set_up, tear_down),
	        cmocka_unit_test_setup_teardown(versions_tell_contents_apart, set_up, tear_down),
	        cmocka_unit_test(a_change_that_is_undone_is_a_new_version),
	        cmocka_unit_test_setup_teardown(no_verdict_outlives_its_catalog, set_up, tear_down),
	        cmocka_unit_test(a_catalog_that_is_too_large_is_refused),
	        cmocka_unit_test_setup_teardown(many_functions_are_all_found, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
