/* test_own_sql.c - which statements are about settings moongate.*, and what they say. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "router/own_sql.h"

#include <string.h>

static bool reads(const char *sql, struct own_statement *s)
{
	return own_sql_read(sql, strlen(sql), true, s);
}

static void reads_what_is_set(void **state)
{
	(void)state;
	static const struct {
		const char *sql;
		enum own_verb verb;
		const char *name, *value;
	} cases[] = {
	        {"set moongate.a = 'b'", OWN_SET, "a", "b"},
	        {";; SET SESSION Moongate.A TO B;", OWN_SET, "a", "b"},
	        {"set local moongate.a='B'", OWN_SET_LOCAL, "a", "B"},
	        {"set moongate.a = 0.5", OWN_SET, "a", "0.5"},
	        {"set moongate.a = 3", OWN_SET, "a", "3"},
	        {"set moongate.a = \"b\" -- c", OWN_SET, "a", "b"},
	        {"set moongate.a = E'b'", OWN_SET, "a", "b"},
	        {"set moongate.a = ''", OWN_SET, "a", ""},
	        {"set \"moongate\" /* x */ . \"a\" = b", OWN_SET, "a", "b"},
	        {"reset moongate.a;", OWN_RESET, "a", ""},
	        {"show moongate.a", OWN_SHOW, "a", ""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct own_statement s;
		assert_true(reads(cases[i].sql, &s));
		assert_false(s.wrong || s.to_default);
		assert_int_equal(s.verb, cases[i].verb);
		assert_string_equal(s.name, cases[i].name);
		assert_string_equal(s.value, cases[i].value);
	}
}

static void default_is_no_value(void **state)
{
	(void)state;
	struct own_statement s;
	assert_true(reads("set moongate.a to default", &s));
	assert_true(s.to_default);
	assert_true(reads("set moongate.a to 'default'", &s));
	assert_false(s.to_default);
}

static void leaves_other_statements_alone(void **state)
{
	(void)state;
	static const char *const others[] = {"",
	                                     "set",
	                                     "set local",
	                                     "set work_mem = 1",
	                                     "show all",
	                                     "set moongate = 1",
	                                     "set moongates.a = 1",
	                                     "reset all",
	                                     "select moongate.a",
	                                     "set time zone 'moongate.a'",
	                                     "set local transaction read only"};
	struct own_statement s;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		assert_false(reads(others[i], &s));
}

static void tells_what_it_cannot_understand(void **state)
{
	(void)state;
	static const char *const wrong[] = {"set moongate.a",         "set moongate.a 'b'",
	                                    "set moongate.a = b, c",  "set moongate.a = -",
	                                    "set moongate. = 1",      "set moongate.a = 'b",
	                                    "set moongate.a = $$b$$", "reset moongate.a b",
	                                    "set moongate.a.b = 1",   "set moongate.a = '"};
	struct own_statement s;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_true(reads(wrong[i], &s));
		assert_true(s.wrong);
	}
}

static void keeps_no_more_than_there_is_room_for(void **state)
{
	(void)state;
	char sql[2000] = "set moongate.";
	struct own_statement s;
	memset(sql + 13, 'x', 500);
	strcpy(sql + 513, " = '");
	memset(sql + 517, 'y', 500);
	strcpy(sql + 1017, "'");
	assert_true(reads(sql, &s));
	assert_int_equal(strlen(s.name), sizeof s.name - 1);
	assert_int_equal(strlen(s.value), sizeof s.value - 1);
}

static bool mentions(const char *sql)
{
	return own_sql_mentions(sql, strlen(sql), true);
}

static void finds_it_among_several(void **state)
{
	(void)state;
	assert_true(mentions("select 1; set moongate.a = 1"));
	assert_true(mentions("begin; set local moongate.a = 1; commit"));
	assert_true(mentions("show moongate.a; select 1"));
	assert_false(mentions("select 'set moongate.a = 1'; select 2"));
	assert_false(mentions("select moongate.a; select 2"));
	assert_false(mentions("select 1; select 2"));
	assert_true(own_sql_names("a\0moongate.b", 13));
	assert_false(own_sql_names("a\0moongates.b", 14));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(reads_what_is_set),
	        cmocka_unit_test(default_is_no_value),
	        cmocka_unit_test(leaves_other_statements_alone),
	        cmocka_unit_test(tells_what_it_cannot_understand),
	        cmocka_unit_test(keeps_no_more_than_there_is_room_for),
	        cmocka_unit_test(finds_it_among_several),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
