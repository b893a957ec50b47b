/* test_tags.c - tags come decoded and in order; what is no tag does no harm. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "sql/tags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(const char *key, size_t key_size, const char *value, size_t value_size, void *arg)
{
	fprintf(arg, "%.*s=%.*s;", (int)key_size, key, (int)value_size, value);
}

/* The text has no NUL behind it, so that the sanitizer sees a read too far. */
static void expect(const char *sql, const char *expected)
{
	char *found = NULL;
	size_t found_size = 0, size = strlen(sql);
	FILE *to = open_memstream(&found, &found_size);
	char *text = memcpy(malloc(size + !size), sql, size);
	sql_tags(text, size, true, put, to);
	fclose(to);
	free(text);
	assert_string_equal(found, expected);
	free(found);
}

static void reads_sqlcommenters_form(void **state)
{
	(void)state;
	expect("select 1 /*a='b'*/", "a=b;");
	expect("select 1 /*action='%2Fparam*d',controller='index'*/",
	       "action=/param*d;controller=index;");
	expect("select 1 /* a='1' , b = '2' */", "a=1;b=2;");
	expect("/*route='%E4%BD%A0'*/ select 1", "route=\xe4\xbd\xa0;");
	expect("select 1 /*name='DROP TABLE \\'x\\''*/", "name=DROP TABLE 'x';");
	expect("select 1 /*a%20b='c%27d'*/", "a b=c'd;");
	expect("select 1 -- a='b'", "a=b;");
	expect("select 1 /*a=''*/", "a=;");
	expect("select 1 /*a='100%',b='%zz'*/", "a=100%;b=%zz;");
}

static void reads_moongates_form(void **state)
{
	(void)state;
	expect("select 1 /* moongate: route=primary */", "route=primary;");
	expect("/*moongate:a=1 b='two words' c=x%20y*/ select 1", "a=1;b=two words;c=x%20y;");
	expect("select 1 -- moongate: a=1, b=2", "a=1;b=2;");
	expect("select 1 /* moongate: a='it''s', b='it\\'s' */", "a=it's;b=it's;");
	expect("select 1 /* moongate: a=b=c */", "a=b=c;");
}

static void reads_every_comment(void **state)
{
	(void)state;
	expect("/*a='1'*/ select /* moongate: b=2 */ 1 -- c='3'\n/*d='4'*/", "a=1;b=2;c=3;d=4;");
	expect("select 1; /*a='1'*/ select 2", "a=1;");
}

static void looks_at_comments_only(void **state)
{
	(void)state;
	expect("select '/*a=''b''*/', \"/*c='d'*/\", $$/*e='f'*/$$", "");
	expect("select E'\\' /*a=''b''*/'", "");
}

static void passes_over_what_is_no_tag(void **state)
{
	(void)state;
	expect("select 1 /* a comment */", "");
	expect("select 1 /* see a, b='c' and so on */", "");
	expect("select 1 /*+ SeqScan(t) */", "");
	expect("select 1 /*a=b,c='d'*/", "c=d;");
	expect("select 1 /*a='b*/", "");
	expect("select 1 /*a='b'c,d='e'*/", "d=e;");
	expect("select 1 /*='b',,c='d',*/", "c=d;");
	expect("select 1 /* moongate: a= b=2 =3 c */", "b=2;");
	expect("select 1 /* moongate: */", "");
	expect("select 1 /*a='b\\*/", "");
	expect("select 1 /*a='%4*/", "");
	expect("", "");
}

static void passes_over_what_is_too_long(void **state)
{
	(void)state;
	char sql[4096];
	char value[2000];
	memset(value, 'x', sizeof(value));
	snprintf(sql, sizeof(sql), "select 1 /*a='%.*s',b='c',%.*s='d'*/", 1025, value, 1025,
	         value);
	expect(sql, "b=c;");
	snprintf(sql, sizeof(sql), "select 1 /*a='%.*s'*/", 1024, value);
	char expected[2048];
	snprintf(expected, sizeof(expected), "a=%.*s;", 1024, value);
	expect(sql, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(reads_sqlcommenters_form),
	        cmocka_unit_test(reads_moongates_form),
	        cmocka_unit_test(reads_every_comment),
	        cmocka_unit_test(looks_at_comments_only),
	        cmocka_unit_test(passes_over_what_is_no_tag),
	        cmocka_unit_test(passes_over_what_is_too_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
