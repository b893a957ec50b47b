/* test_conninfo.c - what connects alike, and what stands in for a URL that is wrong. */
/* SPDX-License-Identifier: MIT */
#include "cluster/conninfo.h"
#include "unit.h"

#include <string.h>

static bool equal(const char *a, const char *b)
{
	char wrong[200];
	struct conninfo *x = conninfo_parse(a, wrong, sizeof wrong);
	struct conninfo *y = conninfo_parse(b, wrong, sizeof wrong);
	assert_non_null(x);
	assert_non_null(y);
	bool result = conninfo_equal(x, y);
	assert_true(result == conninfo_equal(y, x));
	conninfo_free(x);
	conninfo_free(y);
	return result;
}

static void the_same_place_by_another_form_is_the_same(void **state)
{
	(void)state;
	assert_true(equal("postgres://db1:5432/app", "postgresql://db1:5432/app"));
	assert_true(equal("postgres://app@db1/app", "host=db1 dbname=app user=app"));
}

static void whatever_differs_is_another_place(void **state)
{
	(void)state;
	const char *one = "postgres://app:a@db1:5432/app";
	assert_false(equal(one, "postgres://app:b@db1:5432/app"));
	assert_false(equal(one, "postgres://app:a@db2:5432/app"));
	assert_false(equal(one, "postgres://app:a@db1:5433/app"));
	assert_false(equal(one, "postgres://app:a@db1:5432/other"));
	assert_false(equal(one, "postgres://app:a@db1:5432/app?sslmode=require"));
	assert_false(equal(one, "postgres://db1:5432/app"));
}

static void a_broken_one_equals_none(void **state)
{
	(void)state;
	struct conninfo *broken = conninfo_broken("no good");
	assert_non_null(broken);
	assert_string_equal(conninfo_reason(broken), "no good");
	assert_false(conninfo_equal(broken, broken));
	assert_null(conninfo_host_to_resolve(broken));
	conninfo_free(broken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_same_place_by_another_form_is_the_same),
	        cmocka_unit_test(whatever_differs_is_another_place),
	        cmocka_unit_test(a_broken_one_equals_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
