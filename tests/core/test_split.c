/* test_split.c - a script falls into the statements that psql would send. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "sql/split.h"

#include <stdlib.h>
#include <string.h>

/* `expected` ends with a NULL. The text has no NUL behind it, so that the sanitizer sees a read too
 * far. */
static void expect(const char *script, bool standard_strings, const char *const *expected)
{
	size_t size = strlen(script), at = 0, start, length, used;
	char *text = memcpy(malloc(size + !size), script, size);
	while ((used = sql_split(text + at, size - at, standard_strings, &start, &length)) != 0) {
		assert_non_null(*expected);
		assert_int_equal(length, strlen(*expected));
		assert_memory_equal(text + at + start, *expected, length);
		expected++;
		at += used;
	}
	assert_null(*expected);
	free(text);
}

#define EXPECT(script, ...) expect(script, true, (const char *const[]){__VA_ARGS__, NULL})

static void statements_end_with_semicolons(void **state)
{
	(void)state;
	EXPECT("select 1; select 2;", "select 1", "select 2");
	EXPECT("select 1;\n\n  select 2  \n", "select 1", "select 2");
	EXPECT("select 1", "select 1");
	EXPECT(";;select 1;;", "select 1");
}

static void nothing_is_left_of_space_and_comments(void **state)
{
	(void)state;
	EXPECT("", NULL);
	EXPECT("  \n\t", NULL);
	EXPECT(";", NULL);
	EXPECT("-- a\n/* b */", NULL);
	EXPECT("select 1; -- the end\n", "select 1");
}

static void semicolons_inside_do_not_end_it(void **state)
{
	(void)state;
	EXPECT("select ';', E'\\';', \";\", $a$;$a$; x", "select ';', E'\\';', \";\", $a$;$a$",
	       "x");
	EXPECT("select 1 /* ; */ -- ;\n ; x", "select 1 /* ; */ -- ;", "x");
	EXPECT("create rule r as on insert to t do (a; b); x",
	       "create rule r as on insert to t do (a; b)", "x");
}

static void bodies_of_routines_are_one_statement(void **state)
{
	(void)state;
	EXPECT("create function f() returns int begin atomic select 1; select case when a then 1 "
	       "end; end; x",
	       "create function f() returns int begin atomic select 1; select case when a then 1 "
	       "end; end",
	       "x");
	EXPECT("create or replace procedure p() begin atomic a; end; x",
	       "create or replace procedure p() begin atomic a; end", "x");
	EXPECT("begin; select 1; end; x", "begin", "select 1", "end", "x");
	EXPECT("create table begin (a int); x", "create table begin (a int)", "x");
}

static void comments_before_and_inside_belong_to_it(void **state)
{
	(void)state;
	EXPECT("-- a\nselect 1 /*k='v'*/; /* b */ select 2", "-- a\nselect 1 /*k='v'*/",
	       "/* b */ select 2");
}

static void backslashes_end_strings_as_the_session_says(void **state)
{
	(void)state;
	static const char script[] = "select 'a\\'; select 'b'";
	expect(script, true, (const char *const[]){"select 'a\\'", "select 'b'", NULL});
	expect(script, false, (const char *const[]){"select 'a\\'; select 'b'", NULL});
}

static void what_never_ends_is_one_statement(void **state)
{
	(void)state;
	EXPECT("select 1; select '; x", "select 1", "select '; x");
	EXPECT("select (1; x", "select (1; x");
	EXPECT("select 1 /* ;", "select 1 /* ;");
	EXPECT("select 1); x", "select 1)", "x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(statements_end_with_semicolons),
	        cmocka_unit_test(nothing_is_left_of_space_and_comments),
	        cmocka_unit_test(semicolons_inside_do_not_end_it),
	        cmocka_unit_test(bodies_of_routines_are_one_statement),
	        cmocka_unit_test(comments_before_and_inside_belong_to_it),
	        cmocka_unit_test(backslashes_end_strings_as_the_session_says),
	        cmocka_unit_test(what_never_ends_is_one_statement),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
