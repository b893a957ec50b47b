/* words.h - what a text may leave behind in its session, told from its words alone.
 *
 * For text that is not parsed: beyond the limits, of another version's grammar, or in another
 * language (DO). It errs on the side of pins. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_WORDS_H
#define MOONGATE_SQL_WORDS_H

#include "sql/draft.h"

/* `strings`: what stands in strings is a program, too. Adds pins, and EFFECT_DDL. */
void words_of_program(struct draft *d, const char *text, size_t size, bool standard_strings,
                      bool strings);

/* A name or string of the text speaks of temporary objects by their schema: pg_temp. */
bool words_mention_temp(const char *text, size_t size, bool standard_strings);

#endif
