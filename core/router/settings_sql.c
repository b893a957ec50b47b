/* settings_sql.c - how a session is taken from one set of settings to another. */
/* SPDX-License-Identifier: MIT */
#include "router/settings.h"

#include <string.h>

static enum status put(struct buffer *b, const char *text)
{
	return buffer_append(b, text, strlen(text));
}

/* `text` between quotes, with every `a` and `b` in it doubled. */
static enum status put_quoted(struct buffer *sql, const char *quote, const char *text, char a,
                              char b)
{
	enum status status = put(sql, quote);
	for (; status == ST_OK && *text; text++) {
		if (*text == a || *text == b)
			status = buffer_append(sql, text, 1);
		if (status == ST_OK)
			status = buffer_append(sql, text, 1);
	}
	return status == ST_OK ? buffer_append(sql, quote + strlen(quote) - 1, 1) : status;
}

enum status settings_put_literal(struct buffer *sql, const char *text)
{
	return put_quoted(sql, "E'", text, '\'', '\\');
}

static enum status put_reset(struct buffer *sql, const char *name)
{
	enum status status = put(sql, "RESET ");
	if (status == ST_OK)
		status = put_quoted(sql, "\"", name, '"', '"');
	return status == ST_OK ? put(sql, ";") : status;
}

/* set_config() takes a list such as search_path in one text, as a startup packet has it. */
static enum status put_set(struct buffer *sql, const char *name, const char *value)
{
	enum status status = put(sql, "SELECT pg_catalog.set_config(");
	if (status == ST_OK)
		status = settings_put_literal(sql, name);
	if (status == ST_OK)
		status = put(sql, ",");
	if (status == ST_OK)
		status = settings_put_literal(sql, value);
	return status == ST_OK ? put(sql, ",false);") : status;
}

/* Whoever a session acts as decides what it may set: it acts as itself while the rest is set. */
static const char *const identities[] = {"session_authorization", "role"};

static bool is_identity(const char *name)
{
	return strcmp(name, identities[0]) == 0 || strcmp(name, identities[1]) == 0;
}

static enum status drop_identities(const struct settings *from, struct buffer *sql)
{
	enum status status = ST_OK;
	for (size_t i = 2; i-- > 0 && status == ST_OK;)
		if (settings_get(from, identities[i]))
			status = put_reset(sql, identities[i]);
	return status;
}

static enum status take_identities(const struct settings *to, struct buffer *sql)
{
	enum status status = ST_OK;
	for (size_t i = 0; i < 2 && status == ST_OK; i++) {
		const char *value = settings_get(to, identities[i]);
		if (value)
			status = put_set(sql, identities[i], value);
	}
	return status;
}

enum status settings_change(const struct settings *from, const struct settings *to,
                            struct buffer *sql)
{
	enum status status = drop_identities(from, sql);
	const char *name, *value;
	for (size_t at = 0; status == ST_OK && settings_next(from, &at, &name, &value);)
		if (!is_identity(name) && !settings_get(to, name))
			status = put_reset(sql, name);
	for (size_t at = 0; status == ST_OK && settings_next(to, &at, &name, &value);) {
		const char *now = is_identity(name) ? value : settings_get(from, name);
		if (!now || strcmp(now, value) != 0)
			status = put_set(sql, name, value);
	}
	return status == ST_OK ? take_identities(to, sql) : status;
}
