/* message.c - see message.h. */
/* SPDX-License-Identifier: MIT */
#include "wire/message.h"

#include <string.h>

struct part {
	const void *bytes;
	size_t size;
};

static void put_u32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 24);
	at[1] = (uint8_t)(value >> 16);
	at[2] = (uint8_t)(value >> 8);
	at[3] = (uint8_t)value;
}

static enum status append(struct buffer *b, char type, const struct part *parts, size_t count)
{
	size_t body = 0;
	for (size_t i = 0; i < count; i++)
		body += parts[i].size;
	uint8_t *at = buffer_reserve(b, 5 + body);
	if (!at)
		return ST_ENOMEM;
	at[0] = (uint8_t)type;
	put_u32(at + 1, (uint32_t)(4 + body));
	at += 5;
	for (size_t i = 0; i < count; i++) {
		memcpy(at, parts[i].bytes, parts[i].size);
		at += parts[i].size;
	}
	buffer_commit(b, 5 + body);
	return ST_OK;
}

static struct part text(const char *s)
{
	return (struct part){s, strlen(s) + 1};
}

enum status message_ready(struct buffer *b, char status)
{
	return append(b, 'Z', &(struct part){&status, 1}, 1);
}

enum status message_authenticated(struct buffer *b)
{
	return append(b, 'R', &(struct part){"\0\0\0", 4}, 1);
}

enum status message_parameter(struct buffer *b, const char *name, const char *value)
{
	const struct part parts[] = {text(name), text(value)};
	return append(b, 'S', parts, 2);
}

enum status message_key(struct buffer *b, uint32_t pid, const uint8_t *secret, size_t secret_size)
{
	uint8_t head[4];
	put_u32(head, pid);
	const struct part parts[] = {{head, sizeof head}, {secret, secret_size}};
	return append(b, 'K', parts, 2);
}

enum status message_error(struct buffer *b, const char *severity, const char *sqlstate,
                          const char *message, const char *hint)
{
	struct part parts[12] = {
	        {"S", 1}, text(severity), {"V", 1}, text(severity),
	        {"C", 1}, text(sqlstate), {"M", 1}, text(message),
	};
	size_t count = 8;
	if (hint) {
		parts[count++] = (struct part){"H", 1};
		parts[count++] = text(hint);
	}
	parts[count++] = (struct part){"", 1};
	return append(b, 'E', parts, count);
}

enum status message_notice(struct buffer *b, const char *message)
{
	const struct part parts[] = {{"S", 1},       text("NOTICE"), {"V", 1},
	                             text("NOTICE"), {"C", 1},       text("00000"),
	                             {"M", 1},       text(message),  {"", 1}};
	return append(b, 'N', parts, sizeof parts / sizeof *parts);
}

enum status message_negotiate(struct buffer *b, const struct startup *startup)
{
	struct buffer names = {0};
	enum status status = ST_OK;
	uint32_t count = 0;
	uint8_t head[8];
	const char *at = startup->parameters, *name, *value;
	while (startup_next(&at, &name, &value)) {
		if (strncmp(name, "_pq_.", 5) != 0)
			continue;
		count++;
		status = buffer_append(&names, name, strlen(name) + 1);
		if (status != ST_OK)
			break;
	}
	if (status == ST_OK && (count || startup->minor > STARTUP_MINOR)) {
		put_u32(head, 3u << 16 | startup_minor(startup));
		put_u32(head + 4, count);
		const struct part parts[] = {
		        {head, sizeof head},
		        {count ? (const void *)buffer_data(&names) : "", buffer_size(&names)}};
		status = append(b, 'v', parts, 2);
	}
	buffer_free(&names);
	return status;
}

enum status message_query(struct buffer *b, const char *sql, size_t size)
{
	const struct part parts[] = {{sql, size}, {"", 1}};
	return append(b, 'Q', parts, 2);
}

enum status message_bare(struct buffer *b, char type)
{
	return append(b, type, NULL, 0);
}

enum status message_command(struct buffer *b, const char *tag)
{
	const struct part part = text(tag);
	return append(b, 'C', &part, 1);
}

enum status message_no_parameters(struct buffer *b)
{
	return append(b, 't', &(struct part){"\0", 2}, 1);
}

enum status message_column(struct buffer *b, const char *name)
{
	/* Of no table; type text, of variable size, without a modifier, in text format. */
	static const uint8_t rest[] = {0,  0,    0,    0,    0,    0,    0,    0, 0,
	                               25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0};
	const struct part parts[] = {{"\0\1", 2}, text(name), {rest, sizeof rest}};
	return append(b, 'T', parts, 3);
}

enum status message_text_row(struct buffer *b, const char *value)
{
	uint8_t size[4];
	put_u32(size, (uint32_t)strlen(value));
	const struct part parts[] = {{"\0\1", 2}, {size, sizeof size}, {value, strlen(value)}};
	return append(b, 'D', parts, 3);
}

enum status message_begin(struct buffer *b, char type, size_t size)
{
	uint8_t head[5] = {(uint8_t)type};
	put_u32(head + 1, (uint32_t)(4 + size));
	return buffer_append(b, head, sizeof head);
}

enum status message_parse(struct buffer *b, const char *name, const void *body, size_t size)
{
	const struct part parts[] = {text(name), {body, size}};
	return append(b, 'P', parts, 2);
}

enum status message_bind(struct buffer *b, const char *portal, const char *statement)
{
	const struct part parts[] = {text(portal), text(statement), {"\0\0\0\0\0", 6}};
	return append(b, 'B', parts, 3);
}

enum status message_close_statement(struct buffer *b, const char *name)
{
	const struct part parts[] = {{"S", 1}, text(name)};
	return append(b, 'C', parts, 2);
}

const char *message_error_field(const uint8_t *body, size_t size, char field)
{
	const uint8_t *end = body + size;
	while (body < end && *body) {
		const uint8_t *nul = memchr(body + 1, '\0', (size_t)(end - body - 1));
		if (!nul)
			return NULL;
		if ((char)*body == field)
			return (const char *)body + 1;
		body = nul + 1;
	}
	return NULL;
}
