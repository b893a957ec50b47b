/* plpgsql_words.h - what the words of a PL/pgSQL body mean to who looks for writes. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_PLPGSQL_WORDS_H
#define MOONGATE_SQL_PLPGSQL_WORDS_H

#include <stdbool.h>

/* Of a word in lower case, unquoted, that stands alone: enum catalog_trait. SET and DO are for the
 * caller, as the next word decides. */
unsigned plpgsql_word_traits(const char *word);

/* A parenthesis may follow it, and yet it calls no function: IN (, VALUES (, numeric( ... */
bool plpgsql_is_no_function(const char *word);

#endif
