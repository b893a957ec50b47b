/* test_patroni_members.c - members from what Patroni says, and what is said of nonsense. */
/* SPDX-License-Identifier: MIT */
#include "cluster/patroni_members.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static struct patroni_members parse(const char *body)
{
	struct patroni_members members;
	char error[200] = "";
	bool parsed = patroni_members_parse(&members, body, strlen(body), error, sizeof error);
	assert_string_equal(error, "");
	assert_true(parsed);
	return members;
}

static const char two[] =
        "{\"members\": ["
        "{\"name\": \"n1\", \"role\": \"leader\", \"state\": \"running\", \"host\": \"db1\","
        " \"port\": 5433, \"timeline\": 7, \"api_url\": \"http://db1:8008/patroni\"},"
        "{\"name\": \"n2\", \"role\": \"replica\", \"state\": \"starting\", \"host\": \"::1\","
        " \"lag\": \"unknown\", \"tags\": {\"noloadbalance\": true}},"
        "{\"name\": \"n3\", \"role\": \"replica\", \"state\": \"creating replica\"}],"
        " \"pause\": true}";

static void members_are_read_and_those_that_are_nowhere_yet_left_out(void **state)
{
	(void)state;
	struct patroni_members m = parse(two);
	assert_int_equal(m.count, 2);
	assert_string_equal(m.list[0].name, "n1");
	assert_string_equal(m.list[0].host, "db1");
	assert_string_equal(m.list[0].port, "5433");
	assert_string_equal(m.list[0].api_url, "http://db1:8008/patroni");
	assert_int_equal(m.list[0].timeline, 7);
	assert_true(m.list[0].leader && m.list[0].running && !m.list[0].unbalanced);
	assert_string_equal(m.list[1].port, "5432");
	assert_null(m.list[1].api_url);
	assert_true(!m.list[1].leader && !m.list[1].running && m.list[1].unbalanced);
	assert_ptr_equal(patroni_members_find(&m, "n2"), &m.list[1]);
	assert_null(patroni_members_find(&m, "n3"));
	patroni_members_free(&m);
	patroni_members_free(&m);
}

static void the_leader_of_a_standby_cluster_is_no_primary(void **state)
{
	(void)state;
	struct patroni_members m = parse("{\"members\": [{\"name\": \"n1\", \"host\": \"db1\","
	                                 " \"role\": \"standby_leader\"}]}");
	assert_false(m.list[0].leader);
	patroni_members_free(&m);
}

static void what_is_no_answer_is_said_to_be_none(void **state)
{
	(void)state;
	static const struct {
		const char *body, *error;
	} wrong[] = {
	        {"", "its answer is no JSON"},
	        {"<html>", "its answer is no JSON"},
	        {"{\"members\": [", "its answer is no JSON"},
	        {"{\"members\": {}}", "its answer has no list \"members\""},
	        {"7", "its answer is no JSON"},
	        {"{\"members\": [7]}", "member 1 has no \"name\""},
	        {"{\"members\": [{\"name\": 7}]}", "member 1 has no \"name\""},
	        {"{\"members\": [{\"name\": \"a\"}]}", "it knows no member that has a \"host\""},
	        {"{\"members\": [{\"name\": \"a\", \"host\": \"h\", \"port\": 70000}]}",
	         "the \"port\" of member a is none"},
	        {"{\"members\": [{\"name\": \"a\", \"host\": \"h\"}, {\"name\": \"a\"}]}",
	         "two members are called a"},
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct patroni_members m;
		char error[200] = "";
		assert_false(patroni_members_parse(&m, wrong[i].body, strlen(wrong[i].body), error,
		                                   sizeof error));
		assert_memory_equal(error, wrong[i].error, strlen(wrong[i].error));
		assert_null(m.list);
	}
}

static void every_cut_is_refused(void **state)
{
	(void)state;
	for (size_t size = 0; size < strlen(two); size++) {
		struct patroni_members m;
		char error[200], *copy = malloc(size + 1);
		memcpy(copy, two, size);
		assert_false(patroni_members_parse(&m, copy, size, error, sizeof error));
		free(copy);
	}
}

static void change(const char *from, const char *to, bool expected)
{
	struct patroni_members before = parse(from), now = parse(to);
	assert_true(patroni_members_changed(&before, &now) == expected);
	patroni_members_free(&before);
	patroni_members_free(&now);
}

#define MEMBER(name, role, state, timeline)                                                        \
	"{\"name\": \"" name "\", \"host\": \"h\", \"role\": \"" role "\", \"state\": \"" state    \
	"\", \"timeline\": " timeline "}"
#define OF(...) "{\"members\": [" __VA_ARGS__ "]}"

static void another_leader_or_timeline_or_one_that_runs_again_is_news(void **state)
{
	(void)state;
	static const char usual[] = OF(
	        MEMBER("a", "leader", "running", "1") "," MEMBER("b", "replica", "streaming", "1"));
	change(usual, usual, false);
	change(usual, OF(MEMBER("a", "leader", "running", "1")), false);
	change(OF(MEMBER("a", "leader", "running", "1")), usual, true);
	change(usual,
	       OF(MEMBER("a", "replica", "running", "1") "," MEMBER("b", "leader", "streaming",
	                                                            "1")),
	       true);
	change(usual,
	       OF(MEMBER("a", "leader", "running", "2") "," MEMBER("b", "replica", "streaming",
	                                                           "1")),
	       true);
	change(OF(MEMBER("a", "leader", "stopped", "1")), OF(MEMBER("a", "leader", "running", "1")),
	       true);
	change(OF(MEMBER("a", "leader", "running", "1")), OF(MEMBER("a", "leader", "stopped", "1")),
	       false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(members_are_read_and_those_that_are_nowhere_yet_left_out),
	        cmocka_unit_test(the_leader_of_a_standby_cluster_is_no_primary),
	        cmocka_unit_test(what_is_no_answer_is_said_to_be_none),
	        cmocka_unit_test(every_cut_is_refused),
	        cmocka_unit_test(another_leader_or_timeline_or_one_that_runs_again_is_news),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
