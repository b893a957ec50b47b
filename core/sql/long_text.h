/* long_text.h - whether a text that is too long to be read may leave something in its session that
 * the session cannot be asked about: custom settings (SET app.tenant, set_config()), LOAD,
 * setseed(). Told from its words as they pass, strings and comments included: so in doubt, it may.
 */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_LONG_TEXT_H
#define MOONGATE_SQL_LONG_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LONG_TEXT_WORD 12

/* Zero is its beginning. */
struct long_text {
	char word[LONG_TEXT_WORD]; /* the one that is being read, in lower case */
	uint8_t length;            /* LONG_TEXT_WORD: too long to be one of ours */
	uint8_t after;             /* what came before it */
};

/* More of it. True: it may; what follows needs not be given. */
bool long_text_feed(struct long_text *t, const void *bytes, size_t size);

#endif
