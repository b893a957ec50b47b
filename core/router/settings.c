/* settings.c - see settings.h. */
/* SPDX-License-Identifier: MIT */
#include "router/settings.h"

#include "wire/message.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static enum status put(struct buffer *b, const char *text)
{
	return buffer_append(b, text, strlen(text));
}

static enum status put_pair(struct buffer *b, const char *name, const char *value)
{
	enum status status = buffer_append(b, name, strlen(name) + 1);
	return status == ST_OK ? buffer_append(b, value, strlen(value) + 1) : status;
}

/* One word of `options`: white space parts words, a backslash keeps the next character
 * (pg_split_opts() of PostgreSQL's postinit.c). */
static bool next_word(const char **at, char *word)
{
	while (isspace((unsigned char)**at))
		++*at;
	if (!**at)
		return false;
	while (**at && !isspace((unsigned char)**at)) {
		if (**at == '\\' && (*at)[1])
			++*at;
		*word++ = *(*at)++;
	}
	*word = '\0';
	return true;
}

static enum status put_assignment(struct buffer *b, char *assignment)
{
	char *equals = strchr(assignment, '=');
	if (!equals || equals == assignment)
		return ST_ECLIENT;
	*equals = '\0';
	for (char *c = assignment; *c; c++)
		if (*c == '-')
			*c = '_';
	return put_pair(b, assignment, equals + 1);
}

static enum status put_options(struct buffer *b, const char *options)
{
	char *word = calloc(1, strlen(options) + 1);
	enum status status = word ? ST_OK : ST_ENOMEM;
	while (status == ST_OK && next_word(&options, word)) {
		bool is_c = strncmp(word, "-c", 2) == 0;
		if (is_c && !word[2])
			status = next_word(&options, word) ? put_assignment(b, word) : ST_ECLIENT;
		else if (is_c || strncmp(word, "--", 2) == 0)
			status = put_assignment(b, word + 2);
		else
			status = ST_ECLIENT;
	}
	free(word);
	return status;
}

static bool is_setting(const char *name)
{
	return strcmp(name, "user") != 0 && strcmp(name, "database") != 0 &&
	       strcmp(name, "replication") != 0 && strncmp(name, "_pq_.", 5) != 0;
}

enum status settings_read(struct settings *s, const struct startup *startup)
{
	struct buffer b = {0};
	enum status status = ST_OK;
	const char *at = startup->parameters, *name, *value;
	*s = (struct settings){0};
	while (status == ST_OK && startup_next(&at, &name, &value)) {
		if (!is_setting(name))
			continue;
		status = strcmp(name, "options") == 0 ? put_options(&b, value)
		                                      : put_pair(&b, name, value);
	}
	if (status == ST_OK && buffer_size(&b)) {
		s->block = malloc(buffer_size(&b));
		s->size = buffer_size(&b);
		if (s->block)
			memcpy(s->block, buffer_data(&b), s->size);
		else
			status = ST_ENOMEM;
	}
	buffer_free(&b);
	return status;
}

void settings_free(struct settings *s)
{
	free(s->block);
	*s = (struct settings){0};
}

static bool next_pair(const struct settings *s, size_t *at, const char **name, const char **value)
{
	if (*at >= s->size)
		return false;
	*name = s->block + *at;
	*value = *name + strlen(*name) + 1;
	*at += strlen(*name) + 1 + strlen(*value) + 1;
	return true;
}

/* The last one counts, as in PostgreSQL. */
const char *settings_get(const struct settings *s, const char *name)
{
	const char *each, *value, *found = NULL;
	size_t at = 0;
	while (next_pair(s, &at, &each, &value))
		if (strcasecmp(each, name) == 0)
			found = value;
	return found;
}

/* As an escape string, which reads the same whatever standard_conforming_strings says. */
static enum status put_literal(struct buffer *b, const char *text)
{
	enum status status = put(b, "E'");
	for (; status == ST_OK && *text; text++) {
		if (*text == '\'' || *text == '\\')
			status = buffer_append(b, text, 1);
		if (status == ST_OK)
			status = buffer_append(b, text, 1);
	}
	return status == ST_OK ? put(b, "'") : status;
}

static enum status put_name(struct buffer *b, const char *name)
{
	enum status status = put(b, "\"");
	for (; status == ST_OK && *name; name++) {
		if (*name == '"')
			status = put(b, "\"");
		if (status == ST_OK)
			status = buffer_append(b, name, 1);
	}
	return status == ST_OK ? put(b, "\"") : status;
}

static enum status put_reset(struct buffer *b, const char *name)
{
	enum status status = put(b, "RESET ");
	if (status == ST_OK)
		status = put_name(b, name);
	return status == ST_OK ? put(b, ";") : status;
}

/* set_config() takes a list such as search_path in one text, as a startup packet has it. */
static enum status put_set(struct buffer *b, const char *name, const char *value)
{
	enum status status = put(b, "SELECT pg_catalog.set_config(");
	if (status == ST_OK)
		status = put_literal(b, name);
	if (status == ST_OK)
		status = put(b, ",");
	if (status == ST_OK)
		status = put_literal(b, value);
	return status == ST_OK ? put(b, ",false);") : status;
}

enum status settings_change(const struct settings *from, const struct settings *to,
                            struct buffer *out)
{
	struct buffer sql = {0};
	enum status status = ST_OK;
	const char *name, *value;
	for (size_t at = 0; status == ST_OK && next_pair(from, &at, &name, &value);)
		if (!settings_get(to, name))
			status = put_reset(&sql, name);
	for (size_t at = 0; status == ST_OK && next_pair(to, &at, &name, &value);) {
		const char *now = settings_get(from, name);
		if (!now || strcmp(now, value) != 0)
			status = put_set(&sql, name, value);
	}
	if (status == ST_OK)
		status = message_query(out, (const char *)buffer_data(&sql), buffer_size(&sql));
	buffer_free(&sql);
	return status;
}
