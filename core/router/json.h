/* json.h - the little JSON that `moongate explain` reads and writes (RFC 8259). */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_JSON_H
#define MOONGATE_ROUTER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Writes a string with its quotes. Bytes that are no UTF-8 come out as U+FFFD. */
void json_put_string(FILE *out, const char *text, size_t size);

/* A member of an object that is looked for; `text` is NULL where there is none, or it is no string.
 */
struct json_member {
	const char *name;
	char *text; /* decoded to UTF-8 in place, and ended by a NUL */
	size_t size;
};

/* Finds the string values of these members of the object on `line`; other members are passed over.
 * False: it is no object. The line is of no use afterwards. */
bool json_get_strings(char *line, struct json_member *members, size_t count);

/* The same of one. NULL: it is no object, or has no such string; `*wrong` says so. */
char *json_get_string(char *line, const char *name, size_t *size, const char **wrong);

#endif
