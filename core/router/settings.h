/* settings.h - sets of session settings, each kept once.
 *
 * What a client has asked for, in its startup packet and by SET since, is one immutable set; so is
 * what a server has been told. Equal sets are the same pointer: most clients share one, and a
 * server that has a client's set already is recognised by a comparison of pointers. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_SETTINGS_H
#define MOONGATE_ROUTER_SETTINGS_H

#include "base/buffer.h"
#include "wire/startup.h"

#include <stdbool.h>
#include <uthash.h>

struct settings_table;

/* Names in lower case, in alphabetical order, each once. */
struct settings {
	UT_hash_handle hh;
	struct settings_table *table;
	unsigned refs;
	uint64_t parse_key;    /* equal for sets under which a text parses alike */
	bool standard_strings; /* standard_conforming_strings is not off */
	bool unreadable;       /* the client's encoding may hide a quote within a character */
	bool serializable;     /* default_transaction_isolation: a standby refuses all then */
	bool read_only;        /* default_transaction_read_only */
	bool temporary;        /* search_path: what is made without a schema may be temporary */
	const char *application_name; /* NULL: not set */
	size_t size;                  /* of block: name NUL value NUL, and so on */
	char block[];
};

/* One per worker; zero is empty. */
struct settings_table {
	struct settings *sets;  /* uthash */
	struct settings *empty; /* made at first need */
};

/* The set without a setting. NULL: out of memory. Every set that is returned here is the caller's
 * to give back. */
struct settings *settings_empty(struct settings_table *table);
struct settings *settings_ref(struct settings *s);
void settings_unref(struct settings *s); /* NULL is fine */

/* What `startup` asks for, `options` included (-c name=value, --name=value). ST_ECLIENT: options
 * hold something else. */
enum status settings_read(struct settings_table *table, const struct startup *startup,
                          struct settings **made) MUST_CHECK;

/* One change: `value` NULL takes the setting out. */
struct setting_change {
	const char *name, *value;
};

/* `s` with these changes; names in any case. NULL: out of memory. */
struct settings *settings_with(struct settings *s, const struct setting_change *changes,
                               size_t count);

/* The value of `name` (lower case), or NULL. */
const char *settings_get(const struct settings *s, const char *name);

/* Steps through a set: starts with *at = 0, false at the end. */
bool settings_next(const struct settings *s, size_t *at, const char **name, const char **value);

/* Appends the SQL that takes a session from one set to the other: one string, which takes effect as
 * a whole or not at all. */
enum status settings_change(const struct settings *from, const struct settings *to,
                            struct buffer *sql) MUST_CHECK;

/* A string as SQL has it, whatever standard_conforming_strings says. */
enum status settings_put_literal(struct buffer *sql, const char *text) MUST_CHECK;

#endif
