/* own_sql.h - statements about settings moongate.*, read from their text. Pure. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_OWN_SQL_H
#define MOONGATE_ROUTER_OWN_SQL_H

#include <stdbool.h>
#include <stddef.h>

#define OWN_PREFIX "moongate."

enum own_verb { OWN_SET, OWN_SET_LOCAL, OWN_RESET, OWN_SHOW };

struct own_statement {
	enum own_verb verb;
	bool to_default; /* SET ... TO DEFAULT */
	bool wrong;      /* what follows the name is not understood */
	char name[64];   /* without the prefix, in lower case */
	char value[128]; /* of SET */
};

/* False: it is about no such setting. */
bool own_sql_read(const char *sql, size_t size, bool standard_strings, struct own_statement *s);

/* Whether one of several statements sets, resets or shows one. */
bool own_sql_mentions(const char *sql, size_t size, bool standard_strings);

/* Whether one of these names, each with its NUL, is one. */
bool own_sql_names(const void *names, size_t size);

#endif
