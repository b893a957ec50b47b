/* known.h - what is known by name: functions, system views and settings. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_KNOWN_H
#define MOONGATE_SQL_KNOWN_H

#include <stdbool.h>
#include <stddef.h>

/* What calling a function amounts to. A `reason` of NULL: it only reads. */
struct known_function {
	unsigned pins, effects;
	const char *reason; /* a static string */
	bool unknown;       /* it is none of PostgreSQL's own */
};

/* `schema` is NULL where the text names none. What is not known may write. */
struct known_function known_function(const char *schema, const char *name);

/* The pins of PostgreSQL's function `name`, if it is one that pins; quicker. */
unsigned known_function_pins(const char *name);

/* Reading it tells of the node, or of the session, rather than of the data. */
bool known_node_relation(const char *schema, const char *name);

/* SHOW of it tells which node answered; "all" is one of these. */
bool known_node_setting(const char *name);

/* pg_temp, pg_temp_3, pg_toast_temp_3. NULL is none. */
bool known_temp_schema(const char *schema);

#endif
