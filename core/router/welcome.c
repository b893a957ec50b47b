/* welcome.c - see welcome.h. */
/* SPDX-License-Identifier: MIT */
#include "router/welcome.h"

#include "router/client.h"
#include "router/errand.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uthash.h>

#define WELCOMES_MAX 4096 /* remembered at most; then all are forgotten */

struct welcome {
	UT_hash_handle hh;
	struct buffer parameters;  /* ParameterStatus messages */
	struct settings *settings; /* part of the key */
	size_t key_size;
	uint8_t key[];
};

/* All that PostgreSQL 15 reports (55.2.7); what a server does not know it has not sent. */
static const char *const reported[] = {"server_version",
                                       "server_encoding",
                                       "client_encoding",
                                       "application_name",
                                       "default_transaction_read_only",
                                       "in_hot_standby",
                                       "is_superuser",
                                       "session_authorization",
                                       "DateStyle",
                                       "IntervalStyle",
                                       "TimeZone",
                                       "integer_datetimes",
                                       "standard_conforming_strings"};
#define REPORTED (sizeof reported / sizeof *reported)

static bool make_key(const struct client *c, struct buffer *key)
{
	const void *settings = c->startup;
	const char *home = c->home ? c->home->database : ""; /* see admission.h */
	return buffer_append(key, c->user, strlen(c->user) + 1) == ST_OK &&
	       buffer_append(key, c->database, strlen(c->database) + 1) == ST_OK &&
	       buffer_append(key, home, strlen(home) + 1) == ST_OK &&
	       buffer_append(key, &settings, sizeof(const void *)) == ST_OK;
}

static struct welcome *find(struct client *c)
{
	struct welcome *found = NULL;
	struct buffer key = {0};
	if (make_key(c, &key))
		HASH_FIND(hh, c->worker->welcomes, buffer_data(&key), buffer_size(&key), found);
	buffer_free(&key);
	return found;
}

bool welcome_parameter(struct client *c, const char *name, const uint8_t **message, size_t *size)
{
	const struct welcome *known = find(c);
	const uint8_t *at = known ? buffer_data(&known->parameters) : NULL;
	const uint8_t *end = known ? at + buffer_size(&known->parameters) : NULL;
	struct frame f;
	for (; at < end && wire_frame(at, (size_t)(end - at), &f) == ST_OK; at += f.size) {
		if (strcasecmp((const char *)at + WIRE_HEADER, name) != 0)
			continue;
		*message = at;
		*size = f.size;
		return true;
	}
	return false;
}

void welcome_free_all(struct worker *w)
{
	struct welcome *each, *next;
	HASH_ITER (hh, w->welcomes, each, next) {
		HASH_DEL(w->welcomes, each); /* NOLINT(clang-analyzer-unix.Malloc): uthash */
		buffer_free(&each->parameters);
		settings_unref(each->settings);
		free(each);
	}
}

/* Takes `parameters` over. */
static void remember(struct client *c, struct buffer *parameters)
{
	struct buffer key = {0};
	struct welcome *made = NULL;
	if (HASH_COUNT(c->worker->welcomes) >= WELCOMES_MAX)
		welcome_free_all(c->worker);
	if (make_key(c, &key))
		made = calloc(1, sizeof *made + buffer_size(&key));
	if (made) {
		made->key_size = buffer_size(&key);
		memcpy(made->key, buffer_data(&key), made->key_size);
		made->parameters = *parameters;
		made->settings = settings_ref(c->startup);
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): uthash */
		HASH_ADD_KEYPTR(hh, c->worker->welcomes, made->key, made->key_size, made);
	} else {
		buffer_free(parameters);
	}
	buffer_free(&key);
}

static void greet(struct client *c, const struct buffer *parameters)
{
	uint8_t secret[CANCEL_SECRET_LONG];
	size_t secret_size = cancel_key_secret(&c->worker->keys, &c->key, secret);
	enum status status = message_authenticated(&c->out);
	if (status == ST_OK)
		status = buffer_append(&c->out, buffer_data(parameters), buffer_size(parameters));
	if (status == ST_OK)
		status = message_key(&c->out, cancel_key_pid(&c->key), secret, secret_size);
	if (status == ST_OK)
		status = message_ready(&c->out, 'I');
	if (status != ST_OK) {
		client_drop(c);
		return;
	}
	c->state = CLIENT_READY;
	if (client_flush(c))
		client_resume(c);
}

/* The columns of the row at `at` that answer `ask`, one per name of `reported`. */
static const uint8_t *next_value(const uint8_t *at, const uint8_t *end, const char **value,
                                 size_t *size)
{
	if (end - at < 4)
		return NULL;
	uint32_t length = wire_u32(at);
	*value = NULL;
	*size = 0;
	if (length == UINT32_MAX)
		return at + 4;
	if (length > (size_t)(end - at - 4))
		return NULL;
	*value = (const char *)at + 4;
	*size = length;
	return at + 4 + length;
}

/* The router is no standby, whichever server was asked. */
static enum status put_parameter(struct buffer *b, const char *name, const char *value)
{
	return message_parameter(b, name, strcmp(name, "in_hot_standby") == 0 ? "off" : value);
}

static enum status read_row(const uint8_t *body, const uint8_t *end, struct buffer *parameters)
{
	const uint8_t *at = body + 2;
	enum status status = ST_OK;
	buffer_free(parameters);
	for (size_t i = 0; i < REPORTED && at && status == ST_OK; i++) {
		const char *value;
		size_t size;
		char text[512];
		at = next_value(at, end, &value, &size);
		if (!at || !value || size >= sizeof text)
			continue;
		memcpy(text, value, size);
		text[size] = '\0';
		status = put_parameter(parameters, reported[i], text);
	}
	return status;
}

enum status welcome_read_start(const struct server *server, struct buffer *parameters)
{
	enum status status = ST_OK;
	for (size_t i = 0; i < REPORTED && status == ST_OK; i++) {
		const char *value = PQparameterStatus(server->conn, reported[i]);
		if (value)
			status = put_parameter(parameters, reported[i], value);
	}
	return status;
}

/* Of what the client has not asked for itself. */
static bool agrees(const struct client *c, const struct server *server, const char *name,
                   const char *value)
{
	char lower[64];
	size_t i = 0;
	for (; name[i] && i < sizeof lower - 1; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	lower[i] = '\0';
	const char *now = PQparameterStatus(server->conn, name);
	return !now || strcmp(name, "in_hot_standby") == 0 || settings_get(c->startup, lower) ||
	       strcmp(now, value) == 0;
}

void welcome_compare(struct client *c, const struct server *server)
{
	const struct welcome *known = find(c);
	const uint8_t *at = known ? buffer_data(&known->parameters) : NULL;
	const uint8_t *end = known ? at + buffer_size(&known->parameters) : NULL;
	struct frame f;
	for (; at < end && wire_frame(at, (size_t)(end - at), &f) == ST_OK; at += f.size) {
		const char *name = (const char *)at + WIRE_HEADER;
		if (agrees(c, server, name, name + strlen(name) + 1))
			continue;
		welcome_free_all(c->worker);
		return;
	}
}

/* Takes `parameters` over. */
static void finish(struct exchange *x, enum status status, struct buffer *parameters)
{
	struct client *c = x->client;
	struct server *server = x->server;
	exchange_free(x);
	relay_give_back(c->worker, server, true);
	if (c->state != CLIENT_WELCOMING || status != ST_OK) {
		buffer_free(parameters);
		client_close(c, "53200", "out of memory", NULL);
		return;
	}
	remember(c, parameters);
	welcome_client(c);
}

/* The server went while it was asked: another one is. */
static void ask_another(struct exchange *x)
{
	struct client *c = x->client;
	struct server *server = x->server;
	endpoint_lost(server->endpoint);
	exchange_free(x);
	relay_give_back(c->worker, server, false);
	welcome_client(c);
}

static void refuse(struct exchange *x, const uint8_t *body, size_t size)
{
	char code[6] = "22023", message[256] = "a startup setting was refused";
	const char *sent_code = message_error_field(body, size, 'C');
	const char *sent = message_error_field(body, size, 'M');
	if (sent_code && strncmp(sent_code, "57P0", 4) == 0) {
		ask_another(x);
		return;
	}
	if (sent_code)
		snprintf(code, sizeof code, "%s", sent_code);
	if (sent)
		snprintf(message, sizeof message, "%s", sent);
	client_close(x->client, code, message, NULL);
}

/* The answers to the settings, where they differ, and to `ask`: collected until the last one. */
static void read_answers(struct exchange *x)
{
	struct buffer parameters = {0};
	enum status status = ST_OK;
	unsigned ready = 0;
	const uint8_t *at = buffer_data(&x->pending), *end = at + buffer_size(&x->pending);
	struct frame f;
	for (; wire_frame(at, (size_t)(end - at), &f) == ST_OK && f.size <= (size_t)(end - at);
	     at += f.size) {
		if (f.type == 'E') {
			buffer_free(&parameters);
			refuse(x, at + WIRE_HEADER, f.size - WIRE_HEADER);
			return;
		}
		if (f.type == 'D' && status == ST_OK)
			status = read_row(at + WIRE_HEADER, at + f.size, &parameters);
		if (f.type == 'Z' && ++ready == 1 + x->errand_count) {
			x->errand_count = 0;
			finish(x, status, &parameters);
			return;
		}
	}
	buffer_free(&parameters);
}

static void on_settings_answer(struct server *server, int events)
{
	struct exchange *x = server->holder;
	struct client *c = x->client;
	size_t got = 0;
	if (!(events & EV_READ))
		return;
	enum status status = stream_read(&server->stream, c->worker->bytes, WORKER_BUFFER, &got);
	if (status == ST_AGAIN)
		return;
	if (status == ST_OK)
		status = buffer_append(&x->pending, c->worker->bytes, got);
	if (status == ST_OK)
		read_answers(x);
	else
		ask_another(x);
}

/* A server reports only what changes, and this one may have had the client's settings before: so
 * all values are asked for. */
static void ask(struct exchange *x)
{
	char sql[1024] = "SELECT ";
	size_t used = strlen(sql);
	struct buffer query = {0};
	for (size_t i = 0; i < REPORTED; i++)
		used += (size_t)snprintf(sql + used, sizeof sql - used,
		                         "%spg_catalog.current_setting('%s', true)", i ? "," : "",
		                         reported[i]);
	if (message_query(&query, sql, used) == ST_OK)
		relay_to_server(x, buffer_data(&query), buffer_size(&query));
	buffer_free(&query);
}

static void on_dispatched(struct dispatch *dispatch, struct server *server, enum status status,
                          const char *sqlstate, const char *reason)
{
	struct exchange *x = LIST_ENTRY(dispatch, struct exchange, dispatch);
	struct client *c = x->client;
	if (status != ST_OK) {
		client_close(c, sqlstate, reason ? reason : status_name(status), NULL);
		return;
	}
	x->server = server;
	x->session = session_of(server, &c->worker->settings);
	status = x->session ? errand_apply_settings(x) : ST_ENOMEM;
	if (status != ST_OK || (c->startup->size == 0 && x->errand_count == 0)) {
		struct buffer parameters = {0};
		if (status == ST_OK)
			status = welcome_read_start(server, &parameters);
		finish(x, status, &parameters);
		return;
	}
	server_hold(server, on_settings_answer, x);
	ask(x);
}

void welcome_again(struct exchange *x)
{
	struct client *c = x->client;
	struct cluster *cluster = c->home->cluster;
	/* A standby refuses whoever is serializable by default. */
	const struct dispatch_request request = {
	        .cluster = cluster,
	        .route = c->startup->serializable ? cluster->default_write : cluster->default_read,
	        .user = c->user,
	        .database = c->database,
	        .last_write = c->last_write,
	        .since = x->since,
	};
	dispatch_start(&x->dispatch, &request, on_dispatched);
}

void welcome_client(struct client *c)
{
	if (!c->home) {
		client_close(c, "57P01", CLIENT_NOT_SERVED, NULL);
		return;
	}
	const struct welcome *known = find(c);
	if (known) {
		greet(c, &known->parameters);
		return;
	}
	struct exchange *x = exchange_new(c);
	if (!x) {
		client_close(c, "53200", "out of memory", NULL);
		return;
	}
	welcome_again(x);
}
