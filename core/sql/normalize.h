/* normalize.h - a statement with its literals taken out: what the cache goes by.
 *
 * Two texts of one form have one set of facts. Therefore names and operators stay, literals become
 * a mark of their class, equal elements of IN lists, ARRAY[] and rows of VALUES become one; and
 * where the value of a literal decides (SET, EXPLAIN, set_config() ...) literals stay as they are.
 *
 * form: tokens, each a lead byte below 0x20 and
 *     NAME, OPERATOR       its characters, folded (none of them is below 0x20)
 *     QUOTED, VERBATIM     its size as a size_t, its bytes
 *     any other            nothing */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_NORMALIZE_H
#define MOONGATE_SQL_NORMALIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct form {
	uint8_t *bytes; /* kept from one statement to the next */
	size_t size, room;

	/* Of the text that was read. */
	size_t tokens;
	uint64_t operator_cost; /* see lexer.h */
	bool odd;               /* likely a syntax error: only the text itself tells what it is */
	bool literals_decide;   /* normalize() again, with `verbatim` */
	bool complete;          /* false: too long, or out of memory; only a beginning was read */
};

/* Beyond these a text is not looked at any further, so that the pass is over in milliseconds. */
#define NORMALIZE_TEXT   ((size_t)4 << 20)
#define NORMALIZE_TOKENS ((size_t)400000)
#define NORMALIZE_FORM   ((size_t)4 << 20)

void normalize(struct form *form, const char *sql, size_t size, bool standard_strings,
               bool verbatim);

/* Equal for forms that differ in literals only; the same in every process. */
uint64_t form_fingerprint(const struct form *form);

void form_free(struct form *form);

#endif
