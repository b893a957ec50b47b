/* query_log.h - what clients have said, from a log: PostgreSQL's csvlog and jsonlog, and moongate's
 * own (log_queries). Pure. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_QUERY_LOG_H
#define MOONGATE_ROUTER_QUERY_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum query_log_format { QUERY_LOG_CSV, QUERY_LOG_JSON, QUERY_LOG_MOONGATE, QUERY_LOG_FORMATS };

/* "csv", "json", "moongate"; ends with NULL. */
extern const char *const query_log_formats[QUERY_LOG_FORMATS + 1];

/* By the first line that is not blank. False: it looks like none of them. */
bool query_log_guess(const char *line, enum query_log_format *format);

/* Whether a record goes on behind this line of it: in a csvlog statements have line breaks. `open`
 * says whether it went on behind the line before; false for the first. */
bool query_log_goes_on(enum query_log_format format, const char *line, size_t size, bool open);

/* Whether a line looks like the first of a record, so that one that goes on was torn. */
bool query_log_begins(enum query_log_format format, const char *line);

enum query_log_found {
	QUERY_LOG_STATEMENT,
	QUERY_LOG_OTHER, /* a record of something else */
	QUERY_LOG_CUT,   /* a statement that the log has not all of */
	QUERY_LOG_BAD,   /* no such record */
};

/* One statement and whose it was. The strings lie in the record; "" where nothing was said. */
struct query_log_entry {
	const char *sql; /* with a NUL behind it */
	size_t size;
	const char *user, *database, *application, *address;
};

/* Reads a record of `size` bytes, followed by a NUL, which it changes. */
enum query_log_found query_log_parse(enum query_log_format format, char *record, size_t size,
                                     struct query_log_entry *entry);

#endif
