/* login.c - see login.h. */
/* SPDX-License-Identifier: MIT */
#include "router/login.h"

#include <ctype.h>
#include <string.h>

static enum status put_text(struct buffer *b, const char *text)
{
	return buffer_append(b, text, strlen(text));
}

static enum status put_pair(struct buffer *b, const char *name, const char *value)
{
	enum status status = buffer_append(b, name, strlen(name) + 1);
	return status == ST_OK ? buffer_append(b, value, strlen(value) + 1) : status;
}

/* White space parts words, and a backslash keeps the next character (pg_split_opts() of
 * PostgreSQL's postinit.c). */
static enum status put_escaped(struct buffer *b, const char *text)
{
	enum status status = ST_OK;
	for (; *text && status == ST_OK; text++) {
		if (isspace((unsigned char)*text) || *text == '\\')
			status = buffer_append(b, "\\", 1);
		if (status == ST_OK)
			status = buffer_append(b, text, 1);
	}
	return status;
}

static enum status put_setting(struct buffer *options, const char *name, const char *value)
{
	enum status status = put_text(options, " -c ");
	if (status == ST_OK)
		status = put_escaped(options, name);
	if (status == ST_OK)
		status = put_text(options, "=");
	return status == ST_OK ? put_escaped(options, value) : status;
}

/* Settings that libpq has keywords for: those of the endpoint's URL must not win. Not "auto", which
 * would be the router's own locale. */
static bool has_keyword(const char *name, const char *value)
{
	return strcmp(name, "application_name") == 0 ||
	       (strcmp(name, "client_encoding") == 0 && strcmp(value, "auto") != 0);
}

/* Where the connection goes is the caller's; protocol options were negotiated away. */
static bool is_setting(const char *name)
{
	return strcmp(name, "user") != 0 && strcmp(name, "database") != 0 &&
	       strncmp(name, "_pq_.", 5) != 0;
}

static enum status take(struct login *login, const char *name, const char *value)
{
	if (strcmp(name, "options") == 0) {
		enum status status = put_text(&login->options, " ");
		return status == ST_OK ? put_text(&login->options, value) : status;
	}
	if (strcmp(name, "replication") == 0 || has_keyword(name, value))
		return put_pair(&login->keywords, name, value);
	return put_setting(&login->options, name, value);
}

/* What the packet says of a setting by its name wins over its `options`, as in PostgreSQL. */
enum status login_read(struct login *login, const struct startup *startup)
{
	enum status status = ST_OK;
	const char *at, *name, *value;
	for (at = startup->parameters; status == ST_OK && startup_next(&at, &name, &value);)
		if (strcmp(name, "options") == 0)
			status = take(login, name, value);
	for (at = startup->parameters; status == ST_OK && startup_next(&at, &name, &value);)
		if (strcmp(name, "options") != 0 && is_setting(name))
			status = take(login, name, value);
	return status;
}

void login_free(struct login *login)
{
	buffer_free(&login->options);
	buffer_free(&login->keywords);
}

enum status login_extras(const struct login *login, const char *options, struct buffer *extras)
{
	const struct buffer *own = &login->options, *keywords = &login->keywords;
	enum status status = buffer_append(extras, "options", sizeof "options");
	if (status == ST_OK && options)
		status = put_text(extras, options);
	if (status == ST_OK)
		status = buffer_append(extras, buffer_data(own), buffer_size(own));
	if (status == ST_OK)
		status = buffer_append(extras, "", 1);
	if (status == ST_OK)
		status = buffer_append(extras, buffer_data(keywords), buffer_size(keywords));
	return status == ST_OK ? buffer_append(extras, "", 1) : status;
}
