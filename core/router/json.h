/* json.h - the little JSON that `moongate explain` reads and writes (RFC 8259). */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_JSON_H
#define MOONGATE_ROUTER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Writes a string with its quotes. Bytes that are no UTF-8 come out as U+FFFD. */
void json_put_string(FILE *out, const char *text, size_t size);

/* The string value of the member `name` of the object on `line`, decoded to UTF-8 in place; other
 * members are passed over. NULL: it is no object, or has no such string; `*wrong` says so. */
char *json_get_string(char *line, const char *name, size_t *size, const char **wrong);

#endif
