/* log.h - lines that an operator can act on, in logfmt: time= level= msg= and then the fields.
 *
 * One line is one write(2), so that lines of several processes do not mix. Values are quoted where
 * needed and cut at 1 kB, or at LOG_LONG_BYTES. Secrets and SQL text never go in, unless the
 * operator asked for it; callers see to that. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_BASE_LOG_H
#define MOONGATE_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

struct log {
	enum log_level level; /* lines below it are not written */
	int fd;               /* where they go; not owned */
};

#define LOG_LONG_BYTES 8192

enum log_type { LOG_END, LOG_TEXT, LOG_LONG, LOG_COUNT, LOG_SECONDS };

struct log_field {
	enum log_type type;
	const char *key;
	union {
		const char *text; /* NULL is written as an empty string */
		int64_t count;
		double seconds; /* written with a millisecond's precision */
	};
};

#define LOG_T(k, v) ((struct log_field){.type = LOG_TEXT, .key = (k), .text = (v)})
#define LOG_L(k, v) ((struct log_field){.type = LOG_LONG, .key = (k), .text = (v)})
#define LOG_N(k, v) ((struct log_field){.type = LOG_COUNT, .key = (k), .count = (int64_t)(v)})
#define LOG_S(k, v) ((struct log_field){.type = LOG_SECONDS, .key = (k), .seconds = (v)})

/* log_info(log, "endpoint down", LOG_T("endpoint", name), LOG_N("failures", 3)); at least one
 * field. */
#define log_line(log, level, msg, ...)                                                             \
	log_write((log), (level), (msg), (const struct log_field[]){__VA_ARGS__, {.type = LOG_END}})
#define log_debug(log, msg, ...) log_line(log, LOG_DEBUG, msg, __VA_ARGS__)
#define log_info(log, msg, ...)  log_line(log, LOG_INFO, msg, __VA_ARGS__)
#define log_warn(log, msg, ...)  log_line(log, LOG_WARN, msg, __VA_ARGS__)
#define log_error(log, msg, ...) log_line(log, LOG_ERROR, msg, __VA_ARGS__)

/* `fields` ends with LOG_END; all strings are only read. A line that cannot be written is lost. */
void log_write(const struct log *log, enum log_level level, const char *msg,
               const struct log_field *fields);

/* "debug", "info", "warn", "error", "off" to a level; false where it is none of them. */
bool log_level_parse(const char *name, enum log_level *level);

/* For what lives in somebody else's process: warnings to standard error, or what MOONGATE_LOG in
 * the environment says. */
struct log log_by_environment(void);

#endif
