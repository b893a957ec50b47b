/* test_query_log.c - statements found in PostgreSQL's logs and in the router's own. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/log.h"
#include "router/query_log.h"
#include "router/query_log_moongate.h"
#include "router/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char record[65536];
static struct query_log_entry entry;

static enum query_log_found parse(enum query_log_format format, const char *text)
{
	snprintf(record, sizeof record, "%s", text);
	return query_log_parse(format, record, strlen(record), &entry);
}

#define STAMP "2026-11-28 12:34:00.615 UTC"

/* A record of a csvlog with this severity and message, and the columns that its version has behind
 * the application's name. */
static enum query_log_found parse_csv(const char *severity, const char *message, const char *rest)
{
	char text[4096];
	snprintf(text, sizeof text,
	         STAMP ",\"bob\",\"app\",17,\"10.0.0.7:41338\",6b0.4b6c,1,\"idle\"," STAMP
	               ",3/6,0,%s,00000,%s,,,,,,,,,\"my app\"%s\n",
	         severity, message, rest);
	return parse(QUERY_LOG_CSV, text);
}

static void a_csvlog_of_any_version_tells_whose_statement_it_is(void **state)
{
	(void)state;
	static const char *const rests[] = {"", ",\"client backend\"", ",\"client backend\",,0",
	                                    ",\"client backend\",,0,new,newer"};
	for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
		assert_int_equal(parse_csv("LOG", "statement: select 1", rests[i]),
		                 QUERY_LOG_STATEMENT);
		assert_string_equal(entry.sql, "select 1");
		assert_int_equal(entry.size, 8);
		assert_string_equal(entry.user, "bob");
		assert_string_equal(entry.database, "app");
		assert_string_equal(entry.application, "my app");
		assert_string_equal(entry.address, "10.0.0.7:41338");
	}
}

static void quotes_commas_and_line_breaks_are_the_statements_own(void **state)
{
	(void)state;
	assert_int_equal(parse_csv("LOG",
	                           "\"statement: select \"\"a,b\"\",\n 'it''s \"\"\"\"'\r\n-- x\"",
	                           ""),
	                 QUERY_LOG_STATEMENT);
	assert_string_equal(entry.sql, "select \"a,b\",\n 'it''s \"\"'\r\n-- x");
	assert_string_equal(entry.application, "my app");
}

static void durations_and_names_of_prepared_statements_are_left_out(void **state)
{
	(void)state;
	static const struct {
		const char *message, *sql;
	} cases[] = {{"duration: 0.123 ms  statement: select 2", "select 2"},
	             {"duration: 12 ms  execute <unnamed>: select $1", "select $1"},
	             {"execute S_1/C_2: select '::', $1", "select '::', $1"}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char quoted[256];
		snprintf(quoted, sizeof quoted, "\"%s\"", cases[i].message);
		assert_int_equal(parse_csv("LOG", quoted, ""), QUERY_LOG_STATEMENT);
		assert_string_equal(entry.sql, cases[i].sql);
	}
}

static void other_messages_are_none(void **state)
{
	(void)state;
	static const char *const messages[] = {
	        "duration: 0.123 ms",
	        "duration: 0.1 ms  parse <unnamed>: select 1",
	        "duration: 0.1 ms  bind <unnamed>: select 1",
	        "execute fetch from C_1: select 1",
	        "connection received: host=[local]",
	        "",
	};
	for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
		assert_int_equal(parse_csv("LOG", messages[i], ""), QUERY_LOG_OTHER);
	assert_int_equal(parse_csv("ERROR", "statement: select 1", ""), QUERY_LOG_OTHER);
}

static void what_is_no_record_is_said_to_be_none(void **state)
{
	(void)state;
	static const char *const wrong[] = {
	        "hello",
	        STAMP ",a,b",
	        STAMP ",\"not ended",
	        STAMP ",\"a\"b,,,,,,,,,,,,,,,,,,,,,,,",
	        ",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,",
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(parse(QUERY_LOG_CSV, wrong[i]), QUERY_LOG_BAD);
	assert_int_equal(parse(QUERY_LOG_JSON, "not json"), QUERY_LOG_BAD);
	assert_int_equal(parse(QUERY_LOG_JSON, "{\"message\":\"statement: select 1\""),
	                 QUERY_LOG_BAD);
	assert_int_equal(parse(QUERY_LOG_MOONGATE, "time=1 what is this"), QUERY_LOG_BAD);
	assert_int_equal(parse(QUERY_LOG_MOONGATE, "time=1 msg=query sql=\"select"), QUERY_LOG_BAD);
	assert_int_equal(parse(QUERY_LOG_MOONGATE, "time=1 msg=query user=a"), QUERY_LOG_BAD);
}

static void a_csv_record_goes_on_while_a_quote_is_open(void **state)
{
	(void)state;
	static const char first[] = STAMP ",\"statement: select \"\"a\n", last[] = "b\"\"\",x\n";
	bool open = query_log_goes_on(QUERY_LOG_CSV, first, strlen(first), false);
	assert_true(open);
	assert_true(query_log_goes_on(QUERY_LOG_CSV, "\n", 1, open));
	assert_false(query_log_goes_on(QUERY_LOG_CSV, last, strlen(last), open));
	assert_false(query_log_goes_on(QUERY_LOG_JSON, first, strlen(first), false));
	assert_true(query_log_begins(QUERY_LOG_CSV, first));
	assert_false(query_log_begins(QUERY_LOG_CSV, last));
}

static void a_jsonlog_is_read_too(void **state)
{
	(void)state;
	assert_int_equal(parse(QUERY_LOG_JSON,
	                       "{\"timestamp\":\"" STAMP
	                       "\",\"user\":\"bob\",\"dbname\":\"app\",\"pid\":7,"
	                       "\"remote_host\":\"10.0.0.7\",\"error_severity\":\"LOG\","
	                       "\"message\":\"statement: select \\\"a\\\"\\n from t\","
	                       "\"application_name\":\"my app\",\"query_id\":0}\n"),
	                 QUERY_LOG_STATEMENT);
	assert_string_equal(entry.sql, "select \"a\"\n from t");
	assert_int_equal(entry.size, strlen(entry.sql));
	assert_string_equal(entry.user, "bob");
	assert_string_equal(entry.database, "app");
	assert_string_equal(entry.application, "my app");
	assert_string_equal(entry.address, "10.0.0.7");
	assert_int_equal(parse(QUERY_LOG_JSON, "{\"error_severity\":\"LOG\",\"pid\":7}"),
	                 QUERY_LOG_OTHER);
}

/* The line that the router writes of this. */
static void write_line(const struct query_log_entry *e, char *line, size_t size)
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	const struct log log = {.level = LOG_INFO, .fd = ends[1]};
	query_log_write(&log, e, "reads", "a rule", "db2");
	ssize_t n = read(ends[0], line, size - 1);
	assert_true(n > 0);
	line[n] = '\0';
	close(ends[0]);
	close(ends[1]);
}

static void what_the_router_writes_it_reads(void **state)
{
	(void)state;
	static const char sql[] = "select \"a\\b\" = 'x'\n, '=' from t";
	const struct query_log_entry e = {.sql = sql,
	                                  .size = sizeof sql - 1,
	                                  .user = "bob",
	                                  .database = "my db",
	                                  .application = "",
	                                  .address = "10.0.0.7"};
	char line[32768];
	write_line(&e, line, sizeof line);
	assert_non_null(strstr(line, " verdict=reads rule=\"a rule\" endpoint=db2 "));
	assert_int_equal(parse(QUERY_LOG_MOONGATE, line), QUERY_LOG_STATEMENT);
	assert_string_equal(entry.sql, sql);
	assert_int_equal(entry.size, sizeof sql - 1);
	assert_string_equal(entry.user, "bob");
	assert_string_equal(entry.database, "my db");
	assert_string_equal(entry.application, "");
	assert_string_equal(entry.address, "10.0.0.7");
	assert_int_equal(parse(QUERY_LOG_MOONGATE, "time=1 level=info msg=reloaded script=x\n"),
	                 QUERY_LOG_OTHER);
}

static void a_long_statement_is_known_to_be_cut(void **state)
{
	(void)state;
	static char sql[LOG_LONG_BYTES + 2], line[32768];
	memset(sql, '"', LOG_LONG_BYTES); /* each takes two bytes */
	const struct query_log_entry whole = {.sql = sql, .size = LOG_LONG_BYTES};
	write_line(&whole, line, sizeof line);
	assert_int_equal(parse(QUERY_LOG_MOONGATE, line), QUERY_LOG_STATEMENT);
	assert_int_equal(entry.size, LOG_LONG_BYTES);
	sql[LOG_LONG_BYTES] = 'x';
	const struct query_log_entry longer = {.sql = sql, .size = LOG_LONG_BYTES + 1};
	write_line(&longer, line, sizeof line);
	assert_int_equal(parse(QUERY_LOG_MOONGATE, line), QUERY_LOG_CUT);
}

static void the_first_line_tells_the_format(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum query_log_format format;
	} cases[] = {{STAMP ",,,1,\n", QUERY_LOG_CSV},
	             {"{\"timestamp\":1}", QUERY_LOG_JSON},
	             {"time=2026-11-28T12:34:00.615Z level=info", QUERY_LOG_MOONGATE}};
	enum query_log_format format;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_true(query_log_guess(cases[i].line, &format));
		assert_int_equal(format, cases[i].format);
	}
	assert_false(query_log_guess(STAMP " [7] LOG:  statement: select 1", &format));
	assert_false(query_log_guess("", &format));
}

struct seen {
	unsigned count;
	char text[256];
};

static void note(const struct tally_entry *e, void *arg)
{
	struct seen *s = arg;
	size_t used = strlen(s->text);
	if (s->count++ < 3)
		snprintf(s->text + used, sizeof s->text - used, "%s=%d(%s) ", e->key, (int)e->count,
		         e->sample ? e->sample : "");
}

static void a_tally_counts_the_most_frequent_first_in_bounded_memory(void **state)
{
	(void)state;
	struct tally *t = tally_new();
	struct seen seen = {0};
	char key[16];
	assert_non_null(t);
	assert_true(tally_add(t, "b", " some\n\t text "));
	assert_true(tally_add(t, "a", NULL));
	assert_true(tally_add(t, "c", NULL) && tally_add(t, "c", "later"));
	for (int i = 0; i < TALLY_MOST; i++) {
		snprintf(key, sizeof key, "k%05d", i);
		assert_true(tally_add(t, key, NULL));
	}
	tally_each(t, note, &seen);
	assert_string_equal(seen.text, "c=2() a=1() b=1(some text ) ");
	assert_int_equal(seen.count, TALLY_MOST);
	assert_int_equal(tally_others(t), 3);
	tally_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_csvlog_of_any_version_tells_whose_statement_it_is),
	        cmocka_unit_test(quotes_commas_and_line_breaks_are_the_statements_own),
	        cmocka_unit_test(durations_and_names_of_prepared_statements_are_left_out),
	        cmocka_unit_test(other_messages_are_none),
	        cmocka_unit_test(what_is_no_record_is_said_to_be_none),
	        cmocka_unit_test(a_csv_record_goes_on_while_a_quote_is_open),
	        cmocka_unit_test(a_jsonlog_is_read_too),
	        cmocka_unit_test(what_the_router_writes_it_reads),
	        cmocka_unit_test(a_long_statement_is_known_to_be_cut),
	        cmocka_unit_test(the_first_line_tells_the_format),
	        cmocka_unit_test(a_tally_counts_the_most_frequent_first_in_bounded_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
