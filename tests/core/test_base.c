/* test_base.c - lists, buffers, log lines and chance. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/buffer.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/random.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct item {
	int number;
	struct list link;
};

static int number_of(struct list *link)
{
	return LIST_ENTRY(link, struct item, link)->number;
}

/* The numbers of the list in its order, as digits. */
static const char *digits(struct list *head, char *out)
{
	char *to = out;
	LIST_EACH (head, link)
		*to++ = (char)('0' + number_of(link));
	*to = '\0';
	return out;
}

static void list_keeps_the_order_in_which_links_came(void **state)
{
	(void)state;
	struct list head;
	struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
	char text[8];
	list_init(&head);
	assert_true(list_empty(&head));
	list_push_back(&head, &items[1].link);
	list_push_back(&head, &items[2].link);
	list_push_front(&head, &items[0].link);
	assert_false(list_empty(&head));
	assert_string_equal(digits(&head, text), "123");
	list_remove(&items[1].link);
	assert_string_equal(digits(&head, text), "13");
}

static void list_links_may_be_removed_twice_and_while_walking(void **state)
{
	(void)state;
	struct list head;
	struct item items[4] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
	char text[8];
	list_init(&head);
	for (size_t i = 0; i < 4; i++)
		list_push_back(&head, &items[i].link);
	LIST_EACH (&head, link)
		if (number_of(link) % 2 == 0)
			list_remove(link);
	assert_string_equal(digits(&head, text), "13");
	list_push_front(&items[0].link, &items[3].link); /* in behind the first */
	list_remove(&items[1].link);
	assert_string_equal(digits(&head, text), "143");
	LIST_EACH (&head, link)
		list_remove(link);
	assert_true(list_empty(&head));
}

static void buffer_gives_back_what_was_appended(void **state)
{
	(void)state;
	struct buffer b = {0};
	assert_int_equal(buffer_append(&b, "hello ", 6), ST_OK);
	assert_int_equal(buffer_append(&b, "world", 5), ST_OK);
	assert_int_equal(buffer_size(&b), 11);
	assert_memory_equal(buffer_data(&b), "hello world", 11);
	buffer_consume(&b, 6);
	assert_int_equal(buffer_size(&b), 5);
	assert_memory_equal(buffer_data(&b), "world", 5);
	buffer_free(&b);
}

static void buffer_that_is_empty_owns_no_memory(void **state)
{
	(void)state;
	struct buffer b = {0};
	assert_int_equal(buffer_append(&b, "", 0), ST_OK);
	assert_null(b.bytes);
	assert_int_equal(buffer_append(&b, "abc", 3), ST_OK);
	buffer_consume(&b, 2);
	assert_non_null(b.bytes);
	buffer_consume(&b, 1);
	assert_null(b.bytes);
	assert_int_equal(b.room, 0);
	buffer_free(&b);
	buffer_free(&b);
}

/* Both ends move, by steps that share no factor with any size of the buffer's. */
static void buffer_keeps_every_byte_in_order_through_growth_and_compaction(void **state)
{
	(void)state;
	struct buffer b = {0};
	uint8_t in = 0, out = 0;
	for (size_t round = 0; round < 20000; round++) {
		uint8_t bytes[97];
		size_t size = 1 + round * 31 % sizeof bytes;
		for (size_t i = 0; i < size; i++)
			bytes[i] = in++;
		assert_int_equal(buffer_append(&b, bytes, size), ST_OK);
		size_t take = round * 53 % 97;
		if (take > buffer_size(&b))
			take = buffer_size(&b);
		for (size_t i = 0; i < take; i++)
			assert_int_equal(buffer_data(&b)[i], out++);
		buffer_consume(&b, take);
	}
	assert_true(b.room <= 1u << 20);
	buffer_free(&b);
}

static void buffer_in_steady_use_does_not_grow(void **state)
{
	(void)state;
	struct buffer b = {0};
	assert_int_equal(buffer_append(&b, "x", 1), ST_OK);
	for (size_t i = 0; i < 1000000; i++) {
		assert_int_equal(buffer_append(&b, "0123456789", 10), ST_OK);
		buffer_consume(&b, 10);
	}
	assert_int_equal(buffer_size(&b), 1);
	assert_true(b.room <= 1024);
	buffer_free(&b);
}

static void buffer_reserves_room_that_counts_only_when_committed(void **state)
{
	(void)state;
	struct buffer b = {0};
	assert_int_equal(buffer_append(&b, "ab", 2), ST_OK);
	uint8_t *to = buffer_reserve(&b, 5000);
	assert_non_null(to);
	memset(to, 'c', 5000);
	assert_int_equal(buffer_size(&b), 2);
	buffer_commit(&b, 3);
	assert_memory_equal(buffer_data(&b), "abccc", 5);
	buffer_free(&b);
}

struct log_file {
	FILE *file;
	struct log log;
	char text[8192];
};

static struct log_file log_to_file(enum log_level level)
{
	struct log_file f = {.file = tmpfile()};
	assert_non_null(f.file);
	f.log = (struct log){.level = level, .fd = fileno(f.file)};
	return f;
}

/* What was logged, from level= on: the time before it is never the same. */
static const char *logged(struct log_file *f)
{
	ssize_t size = pread(f->log.fd, f->text, sizeof f->text - 1, 0);
	assert_true(size >= 0);
	f->text[size] = '\0';
	fclose(f->file);
	const char *level = strstr(f->text, "level=");
	return level ? level : "";
}

static void log_lines_are_logfmt(void **state)
{
	(void)state;
	struct log_file f = log_to_file(LOG_DEBUG);
	log_warn(&f.log, "endpoint down", LOG_T("endpoint", "db1:5432"), LOG_N("failures", 3),
	         LOG_S("next", 2.25));
	assert_string_equal(logged(&f), "level=warn msg=\"endpoint down\" endpoint=db1:5432 "
	                                "failures=3 next=2.250\n");
}

static void log_lines_begin_with_the_time_in_utc(void **state)
{
	(void)state;
	struct log_file f = log_to_file(LOG_DEBUG);
	int year, month, day, hour, minute, second, milli, end = 0;
	log_info(&f.log, "x", LOG_N("n", 1));
	(void)logged(&f);
	int found = sscanf(f.text, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ level=%n", &year, &month,
	                   &day, &hour, &minute, &second, &milli, &end);
	assert_int_equal(found, 7);
	assert_int_equal(end, strlen("time=2000-01-01T00:00:00.000Z level="));
}

static void log_values_are_quoted_where_a_reader_would_stop(void **state)
{
	(void)state;
	const struct {
		const char *value, *expected;
	} cases[] = {
	        {"plain", "k=plain"},
	        {"", "k=\"\""},
	        {NULL, "k=\"\""},
	        {"a b", "k=\"a b\""},
	        {"a=b", "k=\"a=b\""},
	        {"say \"hi\"", "k=\"say \\\"hi\\\"\""},
	        {"back\\slash", "k=\"back\\\\slash\""},
	        {"two\nlines", "k=\"two\\nlines\""},
	        {"tab\there", "k=\"tab here\""},
	        {"\x1b[31mred", "k=\" [31mred\""},
	        {"f\xc3\xbc"
	         "nf",
	         "k=f\xc3\xbc"
	         "nf"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct log_file f = log_to_file(LOG_INFO);
		char expected[128];
		log_info(&f.log, "m", LOG_T("k", cases[i].value));
		snprintf(expected, sizeof expected, "level=info msg=m %s\n", cases[i].expected);
		assert_string_equal(logged(&f), expected);
	}
}

static void log_messages_are_quoted_like_values(void **state)
{
	(void)state;
	struct log_file f = log_to_file(LOG_INFO);
	log_error(&f.log, "forged\nlevel=info", LOG_N("n", -1));
	assert_string_equal(logged(&f), "level=error msg=\"forged\\nlevel=info\" n=-1\n");
}

static void log_values_are_cut_at_a_kilobyte(void **state)
{
	(void)state;
	struct log_file f = log_to_file(LOG_INFO);
	char value[5001];
	memset(value, 'x', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	log_info(&f.log, "m", LOG_T("k", value), LOG_N("after", 1));
	const char *line = logged(&f);
	assert_int_equal(strspn(strchr(line, 'x'), "x"), 1024);
	assert_non_null(strstr(line, "x\" after=1\n"));
}

static void log_lines_are_cut_but_always_end(void **state)
{
	(void)state;
	struct log_file f = log_to_file(LOG_INFO);
	char value[1001];
	memset(value, '"', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	log_info(&f.log, "m", LOG_T("a", value), LOG_T("b", value), LOG_T("c", value));
	(void)logged(&f);
	size_t size = strlen(f.text);
	assert_true(size <= 4096);
	assert_int_equal(strcspn(f.text, "\n"), size - 1);
}

static void log_leaves_out_what_is_below_its_level(void **state)
{
	(void)state;
	struct log_file f = log_to_file(LOG_WARN);
	log_debug(&f.log, "no", LOG_N("n", 1));
	log_info(&f.log, "no", LOG_N("n", 1));
	log_warn(&f.log, "yes", LOG_N("n", 1));
	log_error(&f.log, "yes", LOG_N("n", 1));
	const char *text = logged(&f);
	assert_null(strstr(text, "msg=no"));
	assert_non_null(strstr(text, "level=warn"));
	assert_non_null(strstr(text, "level=error"));
	f = log_to_file(LOG_OFF);
	log_error(&f.log, "no", LOG_N("n", 1));
	assert_string_equal(logged(&f), "");
}

static void log_levels_have_names(void **state)
{
	(void)state;
	const char *const names[] = {"debug", "info", "warn", "error", "off"};
	enum log_level level = LOG_INFO;
	for (int i = LOG_DEBUG; i <= LOG_OFF; i++) {
		assert_true(log_level_parse(names[i], &level));
		assert_int_equal(level, i);
	}
	level = LOG_INFO;
	assert_false(log_level_parse("verbose", &level));
	assert_false(log_level_parse("", &level));
	assert_int_equal(level, LOG_INFO);
}

static void chance_repeats_with_its_seed_and_fills_its_range(void **state)
{
	(void)state;
	uint64_t a = 7, b = 7;
	unsigned tenths[10] = {0};
	for (unsigned i = 0; i < 100000; i++) {
		double x = random_unit(&a);
		assert_true(x == random_unit(&b));
		assert_true(x >= 0 && x < 1);
		tenths[(int)(x * 10)]++;
	}
	for (size_t i = 0; i < 10; i++)
		assert_in_range(tenths[i], 9500, 10500);
}

/* The first numbers of the reference implementation with seed 1234567. */
static void chance_is_splitmix64(void **state)
{
	(void)state;
	uint64_t seed = 1234567;
	assert_true(random_next(&seed) == 6457827717110365317u);
	assert_true(random_next(&seed) == 3203168211198807973u);
}

static void secrets_differ(void **state)
{
	(void)state;
	uint8_t a[16] = {0}, b[16] = {0};
	random_secret(a, sizeof a);
	random_secret(b, sizeof b);
	assert_memory_not_equal(a, b, sizeof a);
}

static void status_has_a_name_for_each(void **state)
{
	(void)state;
	assert_string_equal(status_name(ST_OK), "ok");
	assert_string_equal(status_name(ST_ESERVER), "server error");
	assert_string_equal(status_name(ST_CLOSED), "closed");
}

static void clock_never_goes_back(void **state)
{
	(void)state;
	double before = clock_now();
	for (unsigned i = 0; i < 100000; i++) {
		double now = clock_now();
		assert_true(now >= before);
		before = now;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(list_keeps_the_order_in_which_links_came),
	        cmocka_unit_test(list_links_may_be_removed_twice_and_while_walking),
	        cmocka_unit_test(buffer_gives_back_what_was_appended),
	        cmocka_unit_test(buffer_that_is_empty_owns_no_memory),
	        cmocka_unit_test(buffer_keeps_every_byte_in_order_through_growth_and_compaction),
	        cmocka_unit_test(buffer_in_steady_use_does_not_grow),
	        cmocka_unit_test(buffer_reserves_room_that_counts_only_when_committed),
	        cmocka_unit_test(log_lines_are_logfmt),
	        cmocka_unit_test(log_lines_begin_with_the_time_in_utc),
	        cmocka_unit_test(log_values_are_quoted_where_a_reader_would_stop),
	        cmocka_unit_test(log_messages_are_quoted_like_values),
	        cmocka_unit_test(log_values_are_cut_at_a_kilobyte),
	        cmocka_unit_test(log_lines_are_cut_but_always_end),
	        cmocka_unit_test(log_leaves_out_what_is_below_its_level),
	        cmocka_unit_test(log_levels_have_names),
	        cmocka_unit_test(chance_repeats_with_its_seed_and_fills_its_range),
	        cmocka_unit_test(chance_is_splitmix64),
	        cmocka_unit_test(secrets_differ),
	        cmocka_unit_test(status_has_a_name_for_each),
	        cmocka_unit_test(clock_never_goes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
