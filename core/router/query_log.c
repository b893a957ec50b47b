/* query_log.c - see query_log.h: PostgreSQL's two forms.
 *
 * PostgreSQL 15, 20.8 "Error Reporting and Logging": a csvlog has 23 columns up to version 12, then
 * 24, and 26 since 14; what is looked at stands in the same place in all of them. */
/* SPDX-License-Identifier: MIT */
#include "router/query_log.h"

#include "router/json.h"
#include "router/query_log_moongate.h"

#include <ctype.h>
#include <string.h>

const char *const query_log_formats[] = {"csv", "json", "moongate", NULL};

enum column {
	COLUMN_USER = 1,
	COLUMN_DATABASE = 2,
	COLUMN_FROM = 4,
	COLUMN_SEVERITY = 11,
	COLUMN_MESSAGE = 13,
	COLUMN_APPLICATION = 22,
	COLUMNS_LEAST = 23,
	COLUMNS_MOST = 40, /* of versions to come */
};

static bool is_digits(const char *at, const char *form)
{
	for (; *form; form++, at++)
		if (*form == '0' ? !isdigit((unsigned char)*at) : *at != *form)
			return false;
	return true;
}

bool query_log_begins(enum query_log_format format, const char *line)
{
	return format != QUERY_LOG_CSV || is_digits(line, "0000-00-00 00:00:00.000 ");
}

bool query_log_guess(const char *line, enum query_log_format *format)
{
	if (*line == '{')
		*format = QUERY_LOG_JSON;
	else if (strncmp(line, "time=", 5) == 0)
		*format = QUERY_LOG_MOONGATE;
	else if (query_log_begins(QUERY_LOG_CSV, line) && strchr(line, ','))
		*format = QUERY_LOG_CSV;
	else
		return false;
	return true;
}

bool query_log_goes_on(enum query_log_format format, const char *line, size_t size, bool open)
{
	if (format != QUERY_LOG_CSV)
		return false;
	for (const char *at = line; (at = memchr(at, '"', size - (size_t)(at - line))); at++)
		open = !open; /* a doubled quote changes nothing */
	return open;
}

/* The field at `*at`, in place, which then is behind its comma, or NULL at the end; NULL: it is
 * none. */
static char *take_field(char **at)
{
	char *from = *at, *field = from, *to = from;
	if (*from != '"') {
		from += strcspn(from, ",\"");
		to = from;
	} else {
		for (from++; *from && (*from != '"' || from[1] == '"'); from++) {
			from += *from == '"';
			*to++ = *from;
		}
		if (*from++ != '"')
			return NULL;
	}
	char next = *from;
	*to = '\0';
	*at = next == ',' ? from + 1 : NULL;
	return next == ',' || next == '\0' ? field : NULL;
}

/* How many there are; 0: it is no record. */
static size_t take_fields(char *record, char *fields[COLUMNS_MOST])
{
	size_t count = 0;
	for (char *at = record; at; count++) {
		if (count == COLUMNS_MOST)
			return 0;
		fields[count] = take_field(&at);
		if (!fields[count])
			return 0;
	}
	return count < COLUMNS_LEAST ? 0 : count;
}

static const char *behind(const char *text, const char *prefix)
{
	size_t size = strlen(prefix);
	return strncmp(text, prefix, size) == 0 ? text + size : NULL;
}

/* "duration: 0.123 ms  " may stand ahead. */
static const char *behind_duration(const char *message)
{
	const char *at = behind(message, "duration: ");
	if (!at)
		return message;
	at += strspn(at, "0123456789.");
	at = behind(at, " ms");
	return at ? at + strspn(at, " ") : "";
}

/* The statement in a message; NULL: it tells of something else. Of the extended protocol's steps
 * the execution counts; to fetch on from a portal is none. */
static const char *find_statement(const char *message)
{
	const char *at = behind_duration(message), *sql = behind(at, "statement: ");
	if (!sql && behind(at, "execute ") && !behind(at, "execute fetch from ")) {
		sql = strstr(at, ": ");
		sql = sql ? sql + 2 : NULL;
	}
	return sql;
}

static enum query_log_found take_message(const char *message, size_t size,
                                         struct query_log_entry *entry)
{
	const char *sql = find_statement(message);
	if (!sql)
		return QUERY_LOG_OTHER;
	entry->sql = sql;
	entry->size = size - (size_t)(sql - message);
	return QUERY_LOG_STATEMENT;
}

static enum query_log_found parse_csv(char *record, struct query_log_entry *entry)
{
	char *fields[COLUMNS_MOST];
	size_t count = take_fields(record, fields);
	if (count == 0)
		return QUERY_LOG_BAD;
	if (strcmp(fields[COLUMN_SEVERITY], "LOG") != 0)
		return QUERY_LOG_OTHER;
	entry->user = fields[COLUMN_USER];
	entry->database = fields[COLUMN_DATABASE];
	entry->application = fields[COLUMN_APPLICATION];
	entry->address = fields[COLUMN_FROM]; /* with its port, as a policy sees it */
	return take_message(fields[COLUMN_MESSAGE], strlen(fields[COLUMN_MESSAGE]), entry);
}

static const char *or_empty(const struct json_member *member)
{
	return member->text ? member->text : "";
}

static enum query_log_found parse_json(char *record, struct query_log_entry *entry)
{
	struct json_member found[] = {{.name = "message"},     {.name = "user"},
	                              {.name = "dbname"},      {.name = "application_name"},
	                              {.name = "remote_host"}, {.name = "error_severity"}};
	if (!json_get_strings(record, found, sizeof found / sizeof *found))
		return QUERY_LOG_BAD;
	if (!found[0].text || strcmp(or_empty(&found[5]), "LOG") != 0)
		return QUERY_LOG_OTHER;
	entry->user = or_empty(&found[1]);
	entry->database = or_empty(&found[2]);
	entry->application = or_empty(&found[3]);
	entry->address = or_empty(&found[4]);
	return take_message(found[0].text, found[0].size, entry);
}

/* Without the line break at its end. */
static void trim(char *record, size_t size)
{
	while (size > 0 && (record[size - 1] == '\n' || record[size - 1] == '\r'))
		record[--size] = '\0';
}

enum query_log_found query_log_parse(enum query_log_format format, char *record, size_t size,
                                     struct query_log_entry *entry)
{
	*entry = (struct query_log_entry){
	        .sql = "", .user = "", .database = "", .application = "", .address = ""};
	trim(record, size);
	if (!*record)
		return QUERY_LOG_OTHER;
	switch (format) {
	case QUERY_LOG_CSV:
		return parse_csv(record, entry);
	case QUERY_LOG_JSON:
		return parse_json(record, entry);
	case QUERY_LOG_MOONGATE:
		return query_log_parse_moongate(record, entry);
	case QUERY_LOG_FORMATS:
		break;
	}
	return QUERY_LOG_BAD;
}
