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

static void a_place_is_put_into_a_url_that_names_none(void **state)
{
	(void)state;
	char wrong[200];
	struct conninfo *x = conninfo_parse_at("postgres://app:a@/app", "db1", "5433", wrong,
	                                       sizeof wrong),
	                *y = conninfo_parse("postgres://app:a@db1:5433/app", wrong, sizeof wrong);
	assert_true(conninfo_equal(x, y));
	conninfo_free(x);
	conninfo_free(y);
	static const char *const taken[] = {"postgres://app@db2/app", "postgres://app@/app?port=1",
	                                    "hostaddr=127.0.0.1"};
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
		assert_null(conninfo_parse_at(taken[i], "db1", "5433", wrong, sizeof wrong));
		assert_non_null(strstr(wrong, "it names a host or a port"));
	}
	assert_null(conninfo_parse_at("postgres://", "db1,db2", "5433", wrong, sizeof wrong));
}

static void a_wrong_url_is_explained_without_its_password(void **state)
{
	(void)state;
	static const char *const wrong[][2] = {
	        {"postgres://app:s3@cret@db1/app", "it is written as %40"},
	        {"postgres://app:s3@cret,db2@db1/app", "it is written as %40"},
	        {"postgres://app:s3cret@db1,db2/app", "it names several hosts"},
	        {"mysql://app:s3cret@db1/app", "it does not begin with postgres://"},
	        {" postgres://app:s3cret@db1/app?a=b", "it does not begin with postgres://"},
	        {"user=app password='s3cret", "unterminated quoted string"},
	};
	char why[200];
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_null(conninfo_parse(wrong[i][0], why, sizeof why));
		assert_non_null(strstr(why, wrong[i][1]));
		assert_null(strstr(why, "cret"));
	}
	static const char *const right[] = {"postgres://app:s3%40cret@db1/app",
	                                    "postgres://%2Ftmp%2Fa@b/app", "host=@socket"};
	for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
		struct conninfo *info = conninfo_parse(right[i], why, sizeof why);
		assert_non_null(info);
		conninfo_free(info);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_same_place_by_another_form_is_the_same),
	        cmocka_unit_test(whatever_differs_is_another_place),
	        cmocka_unit_test(a_broken_one_equals_none),
	        cmocka_unit_test(a_place_is_put_into_a_url_that_names_none),
	        cmocka_unit_test(a_wrong_url_is_explained_without_its_password),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
