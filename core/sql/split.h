/* split.h - a script's statements, one after the other, as psql would send them. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_SPLIT_H
#define MOONGATE_SQL_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

/* Finds the first statement in text[0 .. size): the semicolon that ends it stands outside of
 * strings, quoted names, dollar quotes, comments, parentheses and BEGIN ATOMIC bodies.
 * *start and *length bound it without surrounding white space and without its semicolon; comments
 * before it belong to it. Returns how many bytes were used up; 0 when no statement is left. */
size_t sql_split(const char *text, size_t size, bool standard_strings, size_t *start,
                 size_t *length);

#endif
