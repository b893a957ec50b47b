/* errand.c - see errand.h. */
/* SPDX-License-Identifier: MIT */
#include "router/errand.h"

#include "router/cancel.h"

#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

enum status errand_run(struct exchange *x, enum errand errand, const struct buffer *sql)
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
		status = errand_run(x, errand, &sql);
	if (status == ST_OK)
		session_set_settings(x->session, settings_ref(wanted));
	buffer_free(&sql);
	return status;
}

enum status errand_apply_settings(struct exchange *x)
{
	return apply(x, ERRAND_SETTINGS);
}

static bool has_reset(const struct exchange *x)
{
	bool may = buffer_size(&x->reset) || x->effects & EFFECT_RESET_ALL || x->reset_check;
	return may && x->was_reset;
}

bool errand_must_restore(const struct exchange *x)
{
	bool done = x->discarded || has_reset(x);
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
	x->discarded = x->soiled = c->unread = false;
	x->effects = 0;
	buffer_free(&x->touched);
	buffer_free(&x->reset);
	x->reset_check = x->reset_local = false;
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
		status = errand_run(x, ERRAND_SEQUENCES, &sql);
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
	return errand_run(x, ERRAND_BEGIN, &x->begin);
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

/* Those of the startup settings that are not SET any more. */
static enum status put_check(const struct exchange *x, struct buffer *sql)
{
	const char *name, *value;
	bool first = true;
	enum status status = put(sql, x->reset_local ? "SELECT pg_catalog.set_config(n,v,true)"
	                                             : "SELECT pg_catalog.set_config(n,v,false)");
	if (status == ST_OK)
		status = put(sql, " FROM (VALUES ");
	for (size_t at = 0;
	     status == ST_OK && settings_next(x->client->startup, &at, &name, &value);) {
		status = put(sql, first ? "(" : ",(");
		first = false;
		if (status == ST_OK)
			status = settings_put_literal(sql, name);
		if (status == ST_OK)
			status = put(sql, ",");
		if (status == ST_OK)
			status = settings_put_literal(sql, value);
		if (status == ST_OK)
			status = put(sql, ")");
	}
	if (status != ST_OK)
		return status;
	return put(sql, ") AS startup(n,v) JOIN pg_catalog.pg_settings"
	                " ON pg_catalog.lower(name)=n AND source<>'session'");
}

static enum status put_restores(const struct exchange *x, struct buffer *sql)
{
	const struct settings *startup = x->client->startup;
	enum status status = ST_OK;
	const char *name, *value;
	if (x->effects & EFFECT_RESET_ALL) {
		for (size_t at = 0; status == ST_OK && settings_next(startup, &at, &name, &value);)
			status = put_restore(sql, name, value);
		return status;
	}
	const char *end = (const char *)buffer_data(&x->reset) + buffer_size(&x->reset);
	for (name = (const char *)buffer_data(&x->reset); status == ST_OK && name < end;
	     name += strlen(name) + 1) {
		value = settings_get(startup, name);
		if (value)
			status = put_restore(sql, name, value);
	}
	return status;
}

/* RESET ALL may have changed each that there is. */
static enum status touch_set(struct exchange *x)
{
	enum status status = ST_OK;
	const char *name, *value;
	for (size_t at = 0;
	     status == ST_OK && settings_next(x->client->settings, &at, &name, &value);)
		status = buffer_append(&x->touched, name, strlen(name) + 1);
	return status;
}

/* The client's startup settings were set by us, so that RESET has taken them to the server's own.
 */
static enum status restore(struct exchange *x)
{
	struct buffer sql = {0};
	bool check = x->reset_check && x->client->startup->size;
	enum status status = x->effects & EFFECT_RESET_ALL ? touch_set(x) : ST_OK;
	if (status == ST_OK)
		status = check ? put_check(x, &sql) : put_restores(x, &sql);
	if (status == ST_OK && buffer_size(&sql)) {
		x->asking = true;
		status = errand_run(x, ERRAND_RESTORE, &sql);
	}
	buffer_free(&sql);
	return status;
}

enum status errand_after_batch(struct exchange *x)
{
	enum status status = ST_OK;
	if (x->status == 'E')
		return ST_OK;
	if (has_reset(x) && !(x->reset_local && x->status == 'I'))
		status = restore(x);
	buffer_free(&x->reset);
	x->was_reset = x->reset_check = x->reset_local = false;
	if (!x->errand_count && !say_ready(x))
		return ST_CLOSED;
	if (status == ST_OK && x->status == 'I' && errand_is_due(x))
		status = errand_ask(x);
	if (x->status == 'I' && x->effects & EFFECT_DDL)
		catalogs_stale(x->client->catalog);
	if (x->status == 'I')
		x->effects = 0;
	else
		x->effects &= ~(unsigned)(EFFECT_RESET | EFFECT_RESET_ALL);
	return status;
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
			errand_take_row(x, body, body + size);
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
