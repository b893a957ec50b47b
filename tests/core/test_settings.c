/* test_settings.c - sets of settings: each is kept once, and a session is taken from one to
 * another.
 */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "router/settings.h"

#include <string.h>

/* `list` is name NUL value NUL ... of a startup packet. */
#define READ(table, list, made)                                                                    \
	settings_read(table, &(struct startup){.parameters = (list "\0")}, made)

static struct settings *made_of(struct settings_table *table, const char *list)
{
	struct settings *s = NULL;
	const struct startup startup = {.parameters = list};
	assert_int_equal(settings_read(table, &startup, &s), ST_OK);
	return s;
}

#define SET(table, list) made_of(table, list "\0")

static void assert_change(struct settings *from, struct settings *to, const char *expected)
{
	struct buffer sql = {0};
	assert_int_equal(settings_change(from, to, &sql), ST_OK);
	assert_int_equal(buffer_append(&sql, "", 1), ST_OK);
	assert_string_equal(buffer_data(&sql), expected);
	buffer_free(&sql);
}

static void equal_sets_are_one(void **state)
{
	(void)state;
	struct settings_table table = {0};
	struct settings *a = SET(&table, "user\0me\0DateStyle\0German\0work_mem\0"
	                                 "1MB\0");
	struct settings *b = SET(&table, "work_mem\0"
	                                 "1MB\0database\0x\0datestyle\0German\0");
	struct settings *c = SET(&table, "datestyle\0German\0");
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_string_equal(settings_get(a, "datestyle"), "German");
	assert_null(settings_get(c, "work_mem"));
	settings_unref(a);
	settings_unref(b);
	settings_unref(c);
	assert_null(table.sets);
}

static void options_are_read_and_give_way_to_names(void **state)
{
	(void)state;
	struct settings_table table = {0};
	struct settings *s = SET(&table, "work_mem\0"
	                                 "2MB\0options\0-c work_mem=1MB --enable-seqscan=off "
	                                 "-cTimeZone=a\\ b\0_pq_.x\0y\0replication\0false\0");
	assert_string_equal(settings_get(s, "work_mem"), "2MB");
	assert_string_equal(settings_get(s, "enable_seqscan"), "off");
	assert_string_equal(settings_get(s, "timezone"), "a b");
	assert_null(settings_get(s, "replication"));
	settings_unref(s);
	struct settings *none = NULL;
	assert_int_equal(READ(&table, "options\0--nonsense\0", &none), ST_ECLIENT);
	assert_int_equal(READ(&table, "options\0-c\0", &none), ST_ECLIENT);
	assert_int_equal(READ(&table, "options\0-c =1\0", &none), ST_ECLIENT);
	assert_null(none);
	assert_null(table.sets);
}

static void a_change_makes_another_set_and_back(void **state)
{
	(void)state;
	struct settings_table table = {0};
	struct settings *empty = settings_empty(&table);
	const struct setting_change set[] = {{"b", "2"}, {"a", "1"}},
	                            unset[] = {{"a", NULL}, {"b", NULL}};
	struct settings *both = settings_with(empty, set, 2);
	assert_string_equal(settings_get(both, "a"), "1");
	struct settings *back = settings_with(both, unset, 2);
	assert_ptr_equal(back, empty);
	settings_unref(empty);
	settings_unref(both);
	settings_unref(back);
	assert_null(table.sets);
}

static void only_what_differs_is_told(void **state)
{
	(void)state;
	struct settings_table table = {0};
	struct settings *one = SET(&table, "work_mem\0"
	                                   "1MB\0app.tenant\0it's \\ me\0");
	struct settings *two = SET(&table, "work_mem\0"
	                                   "1MB\0datestyle\0ISO\0");
	assert_change(one, one, "");
	assert_change(
	        one, two,
	        "RESET \"app.tenant\";SELECT pg_catalog.set_config(E'datestyle',E'ISO',false);");
	assert_change(two, one,
	              "RESET \"datestyle\";"
	              "SELECT pg_catalog.set_config(E'app.tenant',E'it''s \\\\ me',false);");
	settings_unref(one);
	settings_unref(two);
}

static void roles_are_left_first_and_taken_last(void **state)
{
	(void)state;
	struct settings_table table = {0};
	struct settings *one = SET(&table, "role\0reader\0session_authorization\0bob\0");
	struct settings *two = SET(&table, "role\0reader\0zzz\0"
	                                   "1\0");
	assert_change(one, two,
	              "RESET \"role\";RESET \"session_authorization\";"
	              "SELECT pg_catalog.set_config(E'zzz',E'1',false);"
	              "SELECT pg_catalog.set_config(E'role',E'reader',false);");
	settings_unref(one);
	settings_unref(two);
}

static void texts_parse_alike_where_only_harmless_settings_differ(void **state)
{
	(void)state;
	struct settings_table table = {0};
	struct settings *plain = settings_empty(&table);
	struct settings *named = SET(&table, "application_name\0x\0work_mem\0"
	                                     "1MB\0app.tenant\0y\0");
	struct settings *german = SET(&table, "datestyle\0German\0");
	struct settings *iso = SET(&table, "datestyle\0ISO\0");
	assert_true(plain->parse_key == named->parse_key);
	assert_true(plain->parse_key != german->parse_key);
	assert_true(iso->parse_key != german->parse_key);
	settings_unref(plain);
	settings_unref(named);
	settings_unref(german);
	settings_unref(iso);
}

static void what_routing_goes_by_is_known(void **state)
{
	(void)state;
	struct settings_table table = {0};
	struct settings *s =
	        SET(&table, "standard_conforming_strings\0off\0client_encoding\0sjis\0"
	                    "default_transaction_isolation\0serializable\0"
	                    "default_transaction_read_only\0true\0search_path\0pg_temp, x\0");
	struct settings *none = settings_empty(&table);
	assert_false(s->standard_strings);
	assert_true(s->unreadable && s->serializable && s->read_only && s->temporary);
	assert_true(none->standard_strings);
	assert_false(none->unreadable || none->serializable || none->read_only || none->temporary);
	settings_unref(s);
	settings_unref(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(equal_sets_are_one),
	        cmocka_unit_test(options_are_read_and_give_way_to_names),
	        cmocka_unit_test(a_change_makes_another_set_and_back),
	        cmocka_unit_test(only_what_differs_is_told),
	        cmocka_unit_test(roles_are_left_first_and_taken_last),
	        cmocka_unit_test(texts_parse_alike_where_only_harmless_settings_differ),
	        cmocka_unit_test(what_routing_goes_by_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
