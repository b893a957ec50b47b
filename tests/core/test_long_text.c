/* What a text of any length may leave behind, told from its words. */
/* SPDX-License-Identifier: MIT */
#include "sql/long_text.h"

#include "unit.h"

#include <string.h>

static bool in_pieces(const char *text, size_t piece)
{
	struct long_text t = {0};
	size_t size = strlen(text);
	for (size_t at = 0; at < size; at += piece)
		if (long_text_feed(&t, text + at, size - at < piece ? size - at : piece))
			return true;
	return false;
}

/* Wherever it is cut. */
static bool may_leave(const char *text)
{
	bool whole = in_pieces(text, strlen(text));
	for (size_t piece = 1; piece < 8; piece++)
		assert_int_equal(in_pieces(text, piece), whole);
	return whole;
}

static void a_custom_setting_is_left(void **state)
{
	(void)state;
	assert_true(may_leave("insert into t values (1); set app.tenant = 'x'"));
	assert_true(may_leave("SET SESSION \"app\".tenant TO 1"));
	assert_true(may_leave("set\n\tapp . tenant = 1"));
	assert_true(may_leave("select set_config('app.tenant', '1', false)"));
	assert_true(may_leave("select SETSEED (0.5)"));
	assert_true(may_leave("load 'plpgsql'"));
}

static void plain_data_leaves_nothing(void **state)
{
	(void)state;
	assert_false(may_leave("insert into t (a.b) values ('offset x.y', 'reset a.b')"));
	assert_false(may_leave("update \"t\" set \"name\" = t.name, x = y.z where a.b = 1"));
	assert_false(may_leave("set work_mem = '5MB'; set local app.tenant = 1"));
	assert_false(may_leave("select load, set_configuration(1), load from set"));
	assert_false(may_leave("a set of things. more"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_custom_setting_is_left),
	        cmocka_unit_test(plain_data_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
