/* settings.h - the session settings that a client asked for in its startup packet.
 *
 * Kept as one block: name NUL value NUL, and so on. A server remembers the block that was applied
 * to it last; a client that is attached to a server with another block brings its own along. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_SETTINGS_H
#define MOONGATE_ROUTER_SETTINGS_H

#include "base/buffer.h"
#include "wire/startup.h"

#include <stdbool.h>

struct settings {
	char *block; /* NULL: none */
	size_t size;
};

/* What `startup` asks for, `options` included (-c name=value, --name=value). ST_ECLIENT: options
 * hold something else. */
enum status settings_read(struct settings *s, const struct startup *startup) MUST_CHECK;
void settings_free(struct settings *s);

/* The value of `name`, or NULL. */
const char *settings_get(const struct settings *s, const char *name);

static inline bool settings_same(const struct settings *a, const struct settings *b)
{
	return a->size == b->size &&
	       (a->size == 0 || __builtin_memcmp(a->block, b->block, a->size) == 0);
}

/* Appends the simple query that takes a server from one block to the other. */
enum status settings_change(const struct settings *from, const struct settings *to,
                            struct buffer *out) MUST_CHECK;

#endif
