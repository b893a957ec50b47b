/* report.c - see report.h. */
/* SPDX-License-Identifier: MIT */
#include "router/report.h"

#include "router/own.h"
#include "router/pins.h"
#include "router/welcome.h"

#include "wire/message.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the server reports of itself, not of its session. */
static bool is_of_server(const char *name)
{
	return strcmp(name, "in_hot_standby") == 0 || strcmp(name, "is_superuser") == 0 ||
	       strcmp(name, "session_authorization") == 0;
}

/* A setting has changed, whoever did it: a function's SET shows here alone. `name` is in lower
 * case.
 */
static enum status note_setting(struct exchange *x, const char *name, const char *value)
{
	struct client *c = x->client;
	if (strcmp(name, "standard_conforming_strings") == 0)
		c->standard_strings = strcmp(value, "off") != 0;
	c->dirty |= !is_of_server(name);
	if (is_of_server(name) || c->pins & RELAY_PIN_SESSION)
		return ST_OK;
	return buffer_append(&x->touched, name, strlen(name) + 1);
}

/* RESET has told of the server's own value; the client will have the one that it started with. */
static bool goes_back(const struct exchange *x, const char *name)
{
	if (x->reset_check || (!buffer_size(&x->reset) && !(x->effects & EFFECT_RESET_ALL)))
		return false;
	return settings_get(x->client->startup, name) != NULL;
}

/* The text of a statement tells that it may change. */
static bool is_own(const struct exchange *x, const char *name)
{
	const char *each = (const char *)buffer_data(&x->touched);
	const char *end = each + buffer_size(&x->touched);
	if (x->client->pins & RELAY_PIN_SESSION || x->reset_check || x->client->unread ||
	    x->effects & (EFFECT_RESET | EFFECT_RESET_ALL))
		return true;
	for (; each < end; each += strlen(each) + 1)
		if (strcmp(each, name) == 0)
			return true;
	return is_of_server(name);
}

enum status report_parameter(struct exchange *x, const uint8_t *body, size_t size,
                             const uint8_t **instead, size_t *instead_size)
{
	char name[64];
	const uint8_t *value = batch_skip_string(body, body + size);
	size_t length = value ? (size_t)(value - body) : sizeof name + 1;
	if (length > sizeof name || !batch_skip_string(value, body + size))
		return ST_OK;
	for (size_t i = 0; i < length; i++)
		name[i] = (char)tolower(body[i]);
	bool own = is_own(x, name);
	enum status status = note_setting(x, name, (const char *)value);
	if (status == ST_OK && goes_back(x, name))
		welcome_parameter(x->client, name, instead, instead_size);
	else if (!own)
		welcome_free_all(x->client->worker); /* a reload has changed it, or a function */
	return status;
}

static bool is_tag(const uint8_t *body, size_t size, const char *tag)
{
	return size == strlen(tag) + 1 && memcmp(body, tag, size) == 0;
}

void report_command(struct exchange *x, const uint8_t *body, size_t size)
{
	struct client *c = x->client;
	bool reset = is_tag(body, size, "RESET") && x->effects & EFFECT_RESET_ALL;
	if (reset || is_tag(body, size, "DISCARD ALL"))
		own_reset_all(c, x->status == 'T');
	if (c->demands && is_tag(body, size, "ROLLBACK"))
		c->demands->rolled_back = true;
	x->was_reset |= is_tag(body, size, "RESET") || is_tag(body, size, "SET");
	bool all = is_tag(body, size, "DISCARD ALL");
	if (!all && !is_tag(body, size, "DEALLOCATE ALL"))
		return;
	names_clear(&c->names);
	session_forget_statements(x->session);
	x->discarded |= all;
	if (all)
		c->pins &= RELAY_PIN_ENCODING | RELAY_PIN_SESSION;
}

static enum status say_refusal(const struct edit *edit, struct buffer *instead)
{
	char sqlstate[EDIT_SQLSTATE + 1];
	snprintf(sqlstate, sizeof sqlstate, "%s", edit->name);
	return message_error(instead, "ERROR", sqlstate, edit->name + EDIT_SQLSTATE,
	                     edit->action == EDIT_REFUSED
	                             ? "Let the block begin with it, or be READ WRITE."
	                             : NULL);
}

static enum status say(const struct edit *edit, struct buffer *instead)
{
	bool exists = edit->action == EDIT_EXISTS;
	char message[256];
	if (edit->action == EDIT_REFUSED || edit->action == EDIT_REJECTED)
		return say_refusal(edit, instead);
	snprintf(message, sizeof message, "prepared statement \"%s\" %s", edit->name,
	         exists ? "already exists" : "does not exist");
	return message_error(instead, "ERROR", exists ? "42P05" : "26000", message, NULL);
}

/* Where a message of PostgreSQL's quotes the server's name for a statement, and the client's name
 * for it. */
static const char *find_name(const struct exchange *x, const uint8_t *body, size_t size,
                             const uint8_t **from, const uint8_t **to)
{
	static const char quoted[] = "\"moongate_";
	const uint8_t *found = memmem(body, size, quoted, sizeof quoted - 1);
	if (!found)
		return NULL;
	char *end;
	unsigned long number = strtoul((const char *)found + sizeof quoted - 1, &end, 10);
	*from = found + 1;
	*to = (const uint8_t *)end;
	if (*end != '"')
		return NULL;
	return session_client_name(x->session, (unsigned)number);
}

/* The client's name in place of the server's. */
static enum status rename_in(const struct exchange *x, const uint8_t *body, size_t size,
                             struct buffer *instead)
{
	const uint8_t *from, *to;
	const char *name = find_name(x, body, size, &from, &to);
	if (!name)
		return ST_OK;
	size_t before = (size_t)(from - body), after = (size_t)(body + size - to);
	enum status status = message_begin(instead, 'E', before + strlen(name) + after);
	if (status == ST_OK)
		status = buffer_append(instead, body, before);
	if (status == ST_OK)
		status = buffer_append(instead, name, strlen(name));
	return status == ST_OK ? buffer_append(instead, to, after) : status;
}

/* The error, and why its client's writes do not go to the primary. */
static enum status explain_pin(const struct exchange *x, const uint8_t *body, size_t size,
                               struct buffer *instead)
{
	char reasons[128], hint[256] = {0};
	pins_name(x->client->pins, reasons, sizeof reasons);
	snprintf(hint, sizeof hint,
	         "HThe session stays on a replica for what it holds there (%s); DISCARD ALL frees "
	         "it.",
	         reasons);
	size_t fields = size - 1; /* a NUL ends them */
	enum status status = message_begin(instead, 'E', fields + strlen(hint) + 2);
	if (status == ST_OK)
		status = buffer_append(instead, body, fields);
	return status == ST_OK ? buffer_append(instead, hint, strlen(hint) + 2) : status;
}

static bool is_kept_on_replica(const struct exchange *x)
{
	return x->client->pins && !(x->client->pins & RELAY_PIN_SESSION) && x->status == 'I' &&
	       x->server->endpoint->role == ROLE_REPLICA;
}

enum status report_error(struct exchange *x, const struct edit *edit, const uint8_t *body,
                         size_t size, struct buffer *instead)
{
	if (edit && edit_is_error(edit->action))
		return say(edit, instead);
	const char *code = message_error_field(body, size, 'C');
	if (x->timed_out && code && strcmp(code, "57014") == 0)
		return message_error(instead, "ERROR", code,
		                     x->by_policy ? "canceling statement due to the timeout of the "
		                                    "policy's route"
		                                  : "canceling statement due to query_timeout",
		                     NULL);
	if (code && strcmp(code, "25006") == 0 && is_kept_on_replica(x))
		return explain_pin(x, body, size, instead);
	return rename_in(x, body, size, instead);
}
