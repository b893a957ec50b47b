/* errand_ask.c - what the session holds, once it may have changed: pins and settings. */
/* SPDX-License-Identifier: MIT */
#include "router/errand.h"

#include "wire/message.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define ASKED_MAX 256 /* settings in one question */

/* What the server's catalog tells of; the rest stays until the client goes. */
#define PINS_TOLD (PIN_TEMP | PIN_LISTEN | PIN_ADVISORY_LOCK | PIN_CURSOR | PIN_PREPARE)

/* The columns that tell of pins, in their order. */
static const enum pin told[] = {PIN_TEMP, PIN_LISTEN, PIN_ADVISORY_LOCK, PIN_CURSOR, PIN_PREPARE};
#define TOLD (sizeof told / sizeof *told)

/* Temporary objects are looked for only where the session has a schema for them at all. Functions
 * where there are views, too: those take twice the time. */
static const char pins_sql[] =
        "CASE WHEN pg_catalog.pg_my_temp_schema()=0 THEN false ELSE"
        " EXISTS (SELECT FROM pg_catalog.pg_class"
        " WHERE relnamespace=pg_catalog.pg_my_temp_schema())"
        " OR EXISTS (SELECT FROM pg_catalog.pg_proc"
        " WHERE pronamespace=pg_catalog.pg_my_temp_schema())"
        " OR EXISTS (SELECT FROM pg_catalog.pg_type"
        " WHERE typnamespace=pg_catalog.pg_my_temp_schema()) END,"
        "EXISTS (SELECT FROM pg_catalog.pg_listening_channels()),"
        "EXISTS (SELECT FROM pg_catalog.pg_lock_status()"
        " WHERE locktype='advisory' AND pid=pg_catalog.pg_backend_pid()),"
        "EXISTS (SELECT FROM pg_catalog.pg_cursor() WHERE is_holdable),"
        "EXISTS (SELECT FROM pg_catalog.pg_prepared_statement() WHERE from_sql)";

/* All that the session has SET, but for custom settings and who it acts as. */
static const char all_settings_sql[] =
        ";SELECT name,pg_catalog.current_setting(name) FROM pg_catalog.pg_settings"
        " WHERE source='session' AND name NOT LIKE 'transaction%'";

static enum status put(struct buffer *sql, const char *text)
{
	return buffer_append(sql, text, strlen(text));
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

/* As long as nothing can be read it is enough to ask when that ends. */
static bool settings_are_unknown(const struct client *c)
{
	return c->unread && !(c->pins & RELAY_PIN_ENCODING);
}

bool errand_is_due(const struct exchange *x)
{
	return x->effects || buffer_size(&x->touched) || settings_are_unknown(x->client);
}

static bool pins_may_differ(const struct exchange *x)
{
	if (x->effects & EFFECT_MAY_PIN || settings_are_unknown(x->client))
		return true;
	return x->client->pins & PINS_TOLD && x->effects & (EFFECT_UNPINS | RELAY_EFFECT_PINNED);
}

/* Those that pg_settings does not show are asked for by name, as far as they are known. */
static enum status touch_all(struct exchange *x)
{
	static const char identity[] = "role\0session_authorization";
	const char *name, *value;
	enum status status = buffer_append(&x->touched, identity, sizeof identity);
	for (size_t at = 0;
	     status == ST_OK && settings_next(x->client->settings, &at, &name, &value);)
		status = buffer_append(&x->touched, name, strlen(name) + 1);
	return status;
}

enum status errand_ask(struct exchange *x)
{
	struct buffer sql = {0};
	bool pins = pins_may_differ(x), all = settings_are_unknown(x->client);
	enum status status = all ? touch_all(x) : ST_OK;
	if (status == ST_OK)
		status = gather(x);
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
	if (status == ST_OK && all)
		status = put(&sql, all_settings_sql);
	x->asking = true;
	x->asked_rows = 0;
	x->soiled |= all;
	x->client->unread &= !all;
	if (status == ST_OK)
		status = errand_run(x, ERRAND_ASK, &sql);
	buffer_free(&sql);
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

static void take_pins(struct exchange *x, const uint8_t **at, const uint8_t *end)
{
	struct client *c = x->client;
	unsigned before = c->pins;
	c->pins &= ~(unsigned)PINS_TOLD;
	c->pins |= c->settings->temporary ? PIN_TEMP : 0;
	for (size_t i = 0; i < TOLD; i++) {
		const char *value;
		size_t size;
		*at = next_column(*at, end, &value, &size);
		if (value && size == 1 && *value == 't')
			c->pins |= told[i];
	}
	if (c->pins & ~before & PIN_TEMP)
		session_distrust(x->session);
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

/* A row of pg_settings. */
static enum status take_setting(struct exchange *x, const uint8_t *at, const uint8_t *end)
{
	const char *columns[2];
	size_t sizes[2];
	at = next_column(at, end, &columns[0], &sizes[0]);
	next_column(at, end, &columns[1], &sizes[1]);
	if (!columns[0] || !columns[1])
		return ST_OK;
	char *texts[2] = {strndup(columns[0], sizes[0]), strndup(columns[1], sizes[1])};
	struct settings *now = NULL;
	for (char *c = texts[0]; c && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	const struct setting_change change = {texts[0], texts[1]};
	if (texts[0] && texts[1])
		now = settings_with(x->client->settings, &change, 1);
	free(texts[0]);
	free(texts[1]);
	if (!now)
		return ST_ENOMEM;
	session_set_settings(x->session, settings_ref(now));
	client_set_settings(x->client, now);
	return ST_OK;
}

void errand_take_row(struct exchange *x, const uint8_t *body, const uint8_t *end)
{
	const uint8_t *at = body + 2;
	if (x->asked_rows++ > 0) {
		if (take_setting(x, at, end) != ST_OK)
			x->client->pins |= PIN_SESSION;
		return;
	}
	if (x->asked_pins)
		take_pins(x, &at, end);
	if (buffer_size(&x->touched) && take_settings(x, at, end) != ST_OK)
		x->client->pins |= PIN_SESSION; /* what it holds cannot be kept elsewhere */
	buffer_free(&x->touched);
}
