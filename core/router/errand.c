/* errand.c - see errand.h. */
/* SPDX-License-Identifier: MIT */
#include "router/errand.h"

#include "router/cancel.h"

#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASKED_MAX 256 /* settings in one question */

/* What the server's catalog tells of; the rest stays until the client goes. */
#define PINS_TOLD (PIN_TEMP | PIN_LISTEN | PIN_ADVISORY_LOCK | PIN_CURSOR | PIN_PREPARE)

/* The columns that tell of pins, in their order. */
static const enum pin told[] = {PIN_TEMP, PIN_LISTEN, PIN_ADVISORY_LOCK, PIN_CURSOR, PIN_PREPARE};
#define TOLD (sizeof told / sizeof *told)

/* Temporary objects are looked for only where the session has a schema for them at all. */
static const char pins_sql[] =
        "CASE WHEN pg_catalog.pg_my_temp_schema()=0 THEN false ELSE"
        " EXISTS (SELECT FROM pg_catalog.pg_class"
        " WHERE relnamespace=pg_catalog.pg_my_temp_schema())"
        " OR EXISTS (SELECT FROM pg_catalog.pg_proc"
        " WHERE pronamespace=pg_catalog.pg_my_temp_schema())"
        " OR EXISTS (SELECT FROM pg_catalog.pg_type"
        " WHERE typnamespace=pg_catalog.pg_my_temp_schema()) END,"
        "EXISTS (SELECT FROM pg_catalog.pg_listening_channels()),"
        "EXISTS (SELECT FROM pg_catalog.pg_locks"
        " WHERE locktype='advisory' AND pid=pg_catalog.pg_backend_pid()),"
        "EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable),"
        "EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql)";

static enum status put(struct buffer *sql, const char *text)
{
	return buffer_append(sql, text, strlen(text));
}

static enum status push(struct exchange *x, enum errand errand)
{
	if (x->errand_count == RELAY_ERRANDS)
		return ST_ENOMEM;
	x->errands[(x->errand_first + x->errand_count++) % RELAY_ERRANDS] = (uint8_t)errand;
	return ST_OK;
}

static enum status run(struct exchange *x, enum errand errand, const struct buffer *sql)
{
	struct buffer query = {0};
	enum status status =
	        message_query(&query, (const char *)buffer_data(sql), buffer_size(sql));
	if (status == ST_OK)
		status = push(x, errand);
	if (status == ST_OK)
		relay_to_server(x, buffer_data(&query), buffer_size(&query));
	x->session->unnamed = NULL; /* a simple Query ends it */
	buffer_free(&query);
	return status;
}

static enum status apply(struct exchange *x, enum errand errand)
{
	struct settings *wanted = x->client->settings;
	struct buffer sql = {0};
	if (x->session->settings == wanted)
		return ST_OK;
	enum status status = settings_change(x->session->settings, wanted, &sql);
	if (status == ST_OK && buffer_size(&sql))
		status = run(x, errand, &sql);
	if (status == ST_OK)
		session_set_settings(x->session, settings_ref(wanted));
	buffer_free(&sql);
	return status;
}

enum status errand_apply_settings(struct exchange *x)
{
	return apply(x, ERRAND_SETTINGS);
}

bool errand_must_restore(const struct exchange *x)
{
	bool resets = buffer_size(&x->reset) || x->effects & EFFECT_RESET_ALL;
	bool done = x->discarded || (resets && x->was_reset);
	return x->client->startup->size && done && !x->outstanding && !x->open &&
	       !x->errand_count && x->status != 'E';
}

/* ReadyForQuery, if it was kept back. False: the client is gone. */
static bool say_ready(struct exchange *x)
{
	struct buffer ready = {0};
	char owed = x->owed;
	x->owed = '\0';
	if (!owed)
		return true;
	bool there = message_ready(&ready, owed) == ST_OK &&
	             client_send(x->client, buffer_data(&ready), buffer_size(&ready));
	buffer_free(&ready);
	return there;
}

enum status errand_renew(struct exchange *x)
{
	struct client *c = x->client;
	struct settings *empty = settings_empty(&c->worker->settings);
	if (!empty)
		return ST_ENOMEM;
	x->discarded = false;
	x->effects = 0;
	buffer_free(&x->touched);
	buffer_free(&x->reset);
	session_set_settings(x->session, empty);
	client_set_settings(c, settings_ref(c->startup));
	enum status status = apply(x, ERRAND_RESTORE);
	return status == ST_OK && !x->errand_count && !say_ready(x) ? ST_CLOSED : status;
}

enum status errand_forget_sequences(struct exchange *x)
{
	struct buffer sql = {0};
	enum status status = put(&sql, "DISCARD SEQUENCES");
	if (status == ST_OK)
		status = run(x, ERRAND_SEQUENCES, &sql);
	buffer_free(&sql);
	return status;
}

enum status errand_skip(struct exchange *x)
{
	return push(x, ERRAND_SKIP);
}

enum status errand_begin(struct exchange *x)
{
	x->status = 'T';
	return run(x, ERRAND_BEGIN, &x->begin);
}

static enum status put_restore(struct buffer *sql, const char *name, const char *value)
{
	enum status status = put(sql, buffer_size(sql) ? ",pg_catalog.set_config("
	                                               : "SELECT pg_catalog.set_config(");
	if (status == ST_OK)
		status = settings_put_literal(sql, name);
	if (status == ST_OK)
		status = put(sql, ",");
	if (status == ST_OK)
		status = settings_put_literal(sql, value);
	return status == ST_OK ? put(sql, ",false)") : status;
}

/* The client's startup settings were set by us, so that RESET has taken them to the server's own.
 */
static enum status restore(struct exchange *x)
{
	const struct settings *startup = x->client->startup;
	struct buffer sql = {0};
	enum status status = ST_OK;
	const char *name, *value;
	if (x->effects & EFFECT_RESET_ALL) {
		const struct settings *now = x->client->settings;
		for (size_t at = 0; status == ST_OK && settings_next(startup, &at, &name, &value);)
			status = put_restore(&sql, name, value);
		for (size_t at = 0; status == ST_OK && settings_next(now, &at, &name, &value);)
			status = buffer_append(&x->touched, name, strlen(name) + 1);
	} else {
		const char *end = (const char *)buffer_data(&x->reset) + buffer_size(&x->reset);
		for (name = (const char *)buffer_data(&x->reset); status == ST_OK && name < end;
		     name += strlen(name) + 1) {
			value = settings_get(startup, name);
			if (value)
				status = put_restore(&sql, name, value);
		}
	}
	if (status == ST_OK && buffer_size(&sql)) {
		x->asking = true;
		status = run(x, ERRAND_RESTORE, &sql);
	}
	buffer_free(&sql);
	return status;
}

static bool is_touched(const struct exchange *x, const char *name)
{
	const char *each = (const char *)buffer_data(&x->touched);
	const char *end = each + buffer_size(&x->touched);
	for (; each < end; each += strlen(each) + 1)
		if (strcmp(each, name) == 0)
			return true;
	return false;
}

/* Each name once. */
static enum status gather(struct exchange *x)
{
	struct buffer all = x->touched;
	enum status status = ST_OK;
	x->touched = (struct buffer){0};
	const char *name = (const char *)buffer_data(&all), *end = name + buffer_size(&all);
	for (; name < end && status == ST_OK; name += strlen(name) + 1)
		if (!is_touched(x, name))
			status = buffer_append(&x->touched, name, strlen(name) + 1);
	buffer_free(&all);
	return status;
}

static bool pins_may_differ(const struct exchange *x)
{
	if (x->effects & EFFECT_MAY_PIN)
		return true;
	return x->client->pins & PINS_TOLD && x->effects & (EFFECT_UNPINS | RELAY_EFFECT_PINNED);
}

static enum status ask(struct exchange *x)
{
	struct buffer sql = {0};
	bool pins = pins_may_differ(x);
	enum status status = gather(x);
	if (status != ST_OK || (!pins && buffer_size(&x->touched) == 0))
		return status;
	status = put(&sql, "SELECT ");
	if (status == ST_OK && pins)
		status = put(&sql, pins_sql);
	x->asked_pins = pins;
	const char *name = (const char *)buffer_data(&x->touched);
	const char *end = name + buffer_size(&x->touched);
	for (bool first = !pins; name < end && status == ST_OK; name += strlen(name) + 1) {
		status = put(&sql, first ? "pg_catalog.current_setting("
		                         : ",pg_catalog.current_setting(");
		first = false;
		if (status == ST_OK)
			status = settings_put_literal(&sql, name);
		if (status == ST_OK)
			status = put(&sql, ",true)");
	}
	x->asking = true;
	if (status == ST_OK)
		status = run(x, ERRAND_ASK, &sql);
	buffer_free(&sql);
	return status;
}

enum status errand_after_batch(struct exchange *x)
{
	enum status status = ST_OK;
	if (x->status == 'E')
		return ST_OK;
	if (x->was_reset && (buffer_size(&x->reset) || x->effects & EFFECT_RESET_ALL))
		status = restore(x);
	buffer_free(&x->reset);
	x->was_reset = false;
	if (!x->errand_count && !say_ready(x))
		return ST_CLOSED;
	if (status == ST_OK && x->status == 'I' && (x->effects || buffer_size(&x->touched)))
		status = ask(x);
	if (x->status == 'I' && x->effects & EFFECT_DDL)
		catalogs_stale(x->client->catalog);
	if (x->status == 'I')
		x->effects = 0;
	else
		x->effects &= ~(unsigned)(EFFECT_RESET | EFFECT_RESET_ALL);
	return status;
}

/* One column of a DataRow: NULL where there is none, or it is NULL. */
static const uint8_t *next_column(const uint8_t *at, const uint8_t *end, const char **value,
                                  size_t *size)
{
	*value = NULL;
	*size = 0;
	if (!at || end - at < 4)
		return NULL;
	uint32_t length = wire_u32(at);
	if (length == UINT32_MAX)
		return at + 4;
	if (length > (size_t)(end - at - 4))
		return NULL;
	*value = (const char *)at + 4;
	*size = length;
	return at + 4 + length;
}

static void take_pins(struct client *c, const uint8_t **at, const uint8_t *end)
{
	c->pins &= ~(unsigned)PINS_TOLD;
	c->pins |= c->settings->temporary ? PIN_TEMP : 0;
	for (size_t i = 0; i < TOLD; i++) {
		const char *value;
		size_t size;
		*at = next_column(*at, end, &value, &size);
		if (value && size == 1 && *value == 't')
			c->pins |= told[i];
	}
}

/* Who the session acts as when it acts as itself is no setting. */
static bool is_itself(const struct exchange *x, const char *name, const char *value)
{
	if (strcmp(name, "role") == 0)
		return strcmp(value, "none") == 0;
	return strcmp(name, "session_authorization") == 0 &&
	       strcmp(value, PQuser(x->server->conn)) == 0;
}

static enum status take_settings(struct exchange *x, const uint8_t *at, const uint8_t *end)
{
	struct setting_change changes[ASKED_MAX];
	struct buffer values = {0};
	size_t count = 0, offsets[ASKED_MAX];
	const char *name = (const char *)buffer_data(&x->touched);
	const char *last = name + buffer_size(&x->touched);
	enum status status = ST_OK;
	for (; name < last && count < ASKED_MAX && status == ST_OK; name += strlen(name) + 1) {
		const char *value;
		size_t size;
		at = next_column(at, end, &value, &size);
		changes[count].name = name;
		offsets[count] = value ? buffer_size(&values) : SIZE_MAX;
		count++;
		if (value)
			status = buffer_append(&values, value, size);
		if (value && status == ST_OK)
			status = buffer_append(&values, "", 1);
	}
	for (size_t i = 0; i < count; i++) {
		const char *value = (const char *)buffer_data(&values);
		changes[i].value = offsets[i] == SIZE_MAX ? NULL : value + offsets[i];
		if (changes[i].value && is_itself(x, changes[i].name, changes[i].value))
			changes[i].value = NULL;
	}
	struct settings *now =
	        status == ST_OK ? settings_with(x->client->settings, changes, count) : NULL;
	buffer_free(&values);
	if (!now)
		return ST_ENOMEM;
	session_set_settings(x->session, settings_ref(now));
	client_set_settings(x->client, now);
	return ST_OK;
}

static void take_row(struct exchange *x, const uint8_t *body, const uint8_t *end)
{
	const uint8_t *at = body + 2;
	if (x->asked_pins)
		take_pins(x->client, &at, end);
	if (buffer_size(&x->touched) && take_settings(x, at, end) != ST_OK)
		x->client->pins |= PIN_SESSION; /* what it holds cannot be kept elsewhere */
	buffer_free(&x->touched);
}

static bool is_fatal(const uint8_t *body, size_t size)
{
	const char *severity = message_error_field(body, size, 'V');
	return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

/* Settings that the server does not take are the client's mistake, and it can't go on without
 * them. */
static bool refuse(struct exchange *x, const uint8_t *body, size_t size)
{
	const char *message = message_error_field(body, size, 'M');
	const char *code = message_error_field(body, size, 'C');
	char text[200], state[6];
	snprintf(text, sizeof text, "%s", message ? message : "a setting was refused");
	snprintf(state, sizeof state, "%s", code ? code : "22023");
	client_close(x->client, state, text, NULL);
	return false;
}

static bool take_error(struct exchange *x, enum errand errand, const uint8_t *body, size_t size)
{
	if (is_fatal(body, size)) {
		relay_lost(x);
		return false;
	}
	switch (errand) {
	case ERRAND_SETTINGS:
	case ERRAND_BEGIN:
		return refuse(x, body, size);
	case ERRAND_SEQUENCES: /* in a failed block, where nothing tells of them anyway */
	case ERRAND_SKIP:
		break;
	case ERRAND_RESTORE:
	case ERRAND_ASK:
		x->client->pins |= PIN_SESSION;
		buffer_free(&x->touched);
		break;
	}
	return true;
}

bool errand_shows(const struct exchange *x, char type)
{
	return type == 'A' || (type == 'S' && x->errands[x->errand_first] == ERRAND_RESTORE);
}

bool errand_answer(struct exchange *x, const struct frame *f, const uint8_t *body)
{
	enum errand errand = x->errands[x->errand_first];
	size_t size = f->size - WIRE_HEADER;
	switch (f->type) {
	case 'E':
		return take_error(x, errand, body, size);
	case 'D':
		if (errand == ERRAND_ASK)
			take_row(x, body, body + size);
		break;
	case 'Z':
		x->errand_first = (x->errand_first + 1) % RELAY_ERRANDS;
		x->asking = --x->errand_count > 0 && x->asking;
		if (x->cancelled && !x->errand_count)
			cancel_exchange(x->client->worker, x);
		if (errand == ERRAND_RESTORE)
			return say_ready(x);
		break;
	default:
		break;
	}
	return true;
}
