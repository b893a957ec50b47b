/* log.c - see log.h. */
/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/plain.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES  4096 /* so that it stays whole in a pipe, too */
#define VALUE_MAX_BYTES 1024

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

struct line {
	size_t used, room;
	char text[LINE_MAX_BYTES +
	          2 * LOG_LONG_BYTES]; /* with a long value: each byte may take two */
};

static void put(struct line *line, char c)
{
	if (line->used < line->room - 1)
		line->text[line->used++] = c;
}

static void put_plain(struct line *line, const char *text)
{
	while (*text)
		put(line, *text++);
}

/* A value needs quotes when a logfmt reader would stop in its middle. */
static bool needs_quotes(const char *text)
{
	if (!*text)
		return true;
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == '"' || *text == '=' || *text == '\\')
			return true;
	return false;
}

static void put_quoted(struct line *line, const char *text, size_t most)
{
	put(line, '"');
	for (size_t i = 0; text[i] && i < most; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c == '"' || c == '\\') {
			put(line, '\\');
			put(line, (char)c);
		} else if (c == '\n') {
			put_plain(line, "\\n");
		} else {
			put(line, c < ' ' ? ' ' : (char)c);
		}
	}
	put(line, '"');
}

static void put_text(struct line *line, const char *text, size_t most)
{
	if (needs_quotes(text) || strlen(text) > most)
		put_quoted(line, text, most);
	else
		put_plain(line, text);
}

static void put_field(struct line *line, const struct log_field *field)
{
	char number[64];
	put(line, ' ');
	put_plain(line, field->key);
	put(line, '=');
	switch (field->type) {
	case LOG_COUNT:
		snprintf(number, sizeof number, "%lld", (long long)field->count);
		put_plain(line, number);
		break;
	case LOG_SECONDS:
		plain_print(number, sizeof number, "%.3f", field->seconds);
		put_plain(line, number);
		break;
	case LOG_LONG:
		line->room = sizeof line->text;
		put_text(line, field->text ? field->text : "", LOG_LONG_BYTES);
		break;
	case LOG_TEXT:
	case LOG_END:
		put_text(line, field->text ? field->text : "", VALUE_MAX_BYTES);
		break;
	}
}

static void put_time(struct line *line)
{
	struct timespec now;
	struct tm utc;
	char text[64];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	size_t n = strftime(text, sizeof text, "time=%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + n, sizeof text - n, ".%03ldZ", now.tv_nsec / 1000000);
	put_plain(line, text);
}

void log_write(const struct log *log, enum log_level level, const char *msg,
               const struct log_field *fields)
{
	if (level < log->level)
		return;
	struct line line;
	line.used = 0;
	line.room = LINE_MAX_BYTES;
	put_time(&line);
	put_plain(&line, " level=");
	put_plain(&line, level_names[level]);
	put_plain(&line, " msg=");
	put_text(&line, msg, VALUE_MAX_BYTES);
	for (; fields->type != LOG_END; fields++)
		put_field(&line, fields);
	line.text[line.used++] = '\n';
	ssize_t written = write(log->fd, line.text, line.used);
	(void)written; /* nowhere to report it */
}

bool log_level_parse(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
		if (strcmp(name, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	return false;
}

struct log log_by_environment(void)
{
	struct log log = {.level = LOG_WARN, .fd = STDERR_FILENO};
	const char *name = getenv("MOONGATE_LOG");
	if (name && !log_level_parse(name, &log.level))
		log_warn(&log, "MOONGATE_LOG is none of debug, info, warn, error, off",
		         LOG_T("value", name));
	return log;
}
