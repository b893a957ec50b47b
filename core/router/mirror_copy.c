/* mirror_copy.c - see mirror.h. */
/* SPDX-License-Identifier: MIT */
#include "router/client.h"
#include "router/mirror.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <string.h>

/* What the unnamed statement of the copy is, as the bytes behind the name of a Parse message. */
struct text {
	const uint8_t *body;
	size_t size;
};

struct copy {
	const struct client *client;
	struct buffer *out;
	const char *parsed_name; /* of the batch's own last Parse; NULL: none yet */
	struct text parsed;
	const uint8_t *current; /* the body that is the unnamed statement there; NULL: none */
};

static bool parse(struct copy *c, struct text text)
{
	if (text.body == c->current)
		return true;
	c->current = text.body;
	return message_parse(c->out, "", text.body, text.size) == ST_OK;
}

/* The statement of this name becomes the unnamed one. */
static bool use(struct copy *c, const char *name)
{
	if (c->parsed_name && strcmp(c->parsed_name, name) == 0)
		return parse(c, c->parsed);
	const struct statement *s = *name ? names_find(c->client->names, name) : c->client->unnamed;
	return s && parse(c, (struct text){(const uint8_t *)s->body, s->size});
}

static bool put(struct copy *c, char type, const char *first, const char *second, struct text rest)
{
	size_t one = first ? strlen(first) + 1 : 0, two = second ? strlen(second) + 1 : 0;
	enum status status = message_begin(c->out, type, one + two + rest.size);
	if (status == ST_OK)
		status = buffer_append(c->out, first, one);
	if (status == ST_OK)
		status = buffer_append(c->out, second, two);
	return status == ST_OK && buffer_append(c->out, rest.body, rest.size) == ST_OK;
}

static bool copy_parse(struct copy *c, const uint8_t *body, const uint8_t *end)
{
	const uint8_t *text = batch_skip_string(body, end);
	if (!text)
		return false;
	c->parsed_name = (const char *)body;
	c->parsed = (struct text){text, (size_t)(end - text)};
	return parse(c, c->parsed);
}

static bool copy_bind(struct copy *c, const uint8_t *body, const uint8_t *end)
{
	const uint8_t *name = batch_skip_string(body, end);
	const uint8_t *values = name ? batch_skip_string(name, end) : NULL;
	return values && use(c, (const char *)name) &&
	       put(c, 'B', (const char *)body, "", (struct text){values, (size_t)(end - values)});
}

static bool copy_describe(struct copy *c, const uint8_t *body, const uint8_t *end)
{
	if (end - body < 2)
		return false;
	if (*body == 'P')
		return put(c, 'D', NULL, NULL, (struct text){body, (size_t)(end - body)});
	return use(c, (const char *)body + 1) && put(c, 'D', "S", NULL, (struct text){NULL, 0});
}

static bool copy_message(struct copy *c, char type, const uint8_t *body, const uint8_t *end)
{
	switch (type) {
	case 'P':
		return copy_parse(c, body, end);
	case 'B':
		return copy_bind(c, body, end);
	case 'D':
		return copy_describe(c, body, end);
	case 'C':
		return true; /* of what is not there */
	case 'Q':
	case 'E':
	case 'S':
		return put(c, type, NULL, NULL, (struct text){body, (size_t)(end - body)});
	default:
		return false;
	}
}

bool mirror_copy(const struct client *client, const struct batch *b, const uint8_t *bytes,
                 struct buffer *out)
{
	struct copy c = {.client = client, .out = out};
	for (size_t at = 0; at < b->size;) {
		struct frame f;
		if (wire_frame(bytes + at, b->size - at, &f) != ST_OK || f.size > b->size - at)
			return false;
		const uint8_t *body = bytes + at + WIRE_HEADER, *end = bytes + at + f.size;
		if (!copy_message(&c, f.type, body, end))
			return false;
		at += f.size;
	}
	return true;
}
