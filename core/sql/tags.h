/* tags.h - key/value pairs that applications put into comments.
 *
 * Two forms, in any comment of the statement:
 *   sqlcommenter's     (https://google.github.io/sqlcommenter/spec/)  key='url%20encoded',key2='v'
 *   moongate's own     moongate: key=value key2='a value'
 */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_TAGS_H
#define MOONGATE_SQL_TAGS_H

#include <stdbool.h>
#include <stddef.h>

/* Called per tag, in the order of the text. Keys of moongate's own form have no prefix.
 * The strings are decoded, not NUL-terminated, and valid during the call. */
typedef void sql_tag_fn(const char *key, size_t key_size, const char *value, size_t value_size,
                        void *arg);

/* Never reads beyond `size`; what is not a well-formed tag is passed over. */
void sql_tags(const char *sql, size_t size, bool standard_strings, sql_tag_fn *fn, void *arg);

/* The same, of those in moongate's own form alone. */
void sql_tags_own(const char *sql, size_t size, bool standard_strings, sql_tag_fn *fn, void *arg);

#endif
