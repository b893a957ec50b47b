/* plpgsql_words.c - all words that a command of PostgreSQL's begins with, but for those that only
 * read; sorted. */
/* SPDX-License-Identifier: MIT */
#include "sql/plpgsql_words.h"

#include "sql/catalog.h"

#include <stdlib.h>
#include <string.h>

#define BOTH (TRAIT_WRITES | TRAIT_HIDDEN)

struct word {
	const char *word;
	unsigned traits;
};

static const struct word commands[] = {
        {"abort", BOTH},
        {"alter", TRAIT_WRITES},
        {"analyze", TRAIT_WRITES},
        {"call", BOTH},
        {"checkpoint", BOTH},
        {"cluster", TRAIT_WRITES},
        {"comment", TRAIT_WRITES},
        {"commit", BOTH},
        {"copy", TRAIT_WRITES},
        {"create", TRAIT_WRITES},
        {"deallocate", BOTH},
        {"delete", TRAIT_WRITES},
        {"discard", BOTH | TRAIT_SESSION},
        {"do", BOTH},
        {"drop", BOTH},
        {"execute", BOTH},
        {"explain", BOTH},
        {"grant", TRAIT_WRITES},
        {"hold", BOTH},
        {"import", BOTH},
        {"insert", TRAIT_WRITES},
        {"listen", BOTH},
        {"load", BOTH | TRAIT_SESSION},
        {"lock", TRAIT_WRITES},
        {"merge", TRAIT_WRITES},
        {"notify", TRAIT_WRITES},
        {"prepare", BOTH},
        {"reassign", TRAIT_WRITES},
        {"refresh", TRAIT_WRITES},
        {"reindex", TRAIT_WRITES},
        {"release", BOTH},
        {"reset", BOTH | TRAIT_SESSION},
        {"revoke", TRAIT_WRITES},
        {"rollback", BOTH},
        {"savepoint", BOTH},
        {"security", TRAIT_WRITES},
        {"share", TRAIT_WRITES}, /* SELECT ... FOR SHARE */
        {"show", BOTH},
        {"start", BOTH},
        {"temp", BOTH},
        {"temporary", BOTH},
        {"truncate", TRAIT_WRITES},
        {"unlisten", BOTH},
        {"update", TRAIT_WRITES}, /* SELECT ... FOR UPDATE as well */
        {"vacuum", TRAIT_WRITES},
};

static const char *const no_functions[] = {
        "all",       "and",     "any",      "array",     "as",        "between",  "by",
        "case",      "cast",    "coalesce", "conflict",  "cube",      "cursor",   "decimal",
        "distinct",  "else",    "elseif",   "elsif",     "end",       "except",   "exists",
        "filter",    "for",     "from",     "greatest",  "group",     "grouping", "having",
        "if",        "ilike",   "in",       "intersect", "into",      "is",       "join",
        "key",       "lateral", "least",    "like",      "limit",     "loop",     "materialized",
        "not",       "nullif",  "offset",   "on",        "or",        "order",    "over",
        "partition", "perform", "query",    "return",    "returning", "rollup",   "row",
        "rows",      "select",  "set",      "sets",      "similar",   "some",     "then",
        "trim",      "union",   "using",    "values",    "when",      "where",    "while",
        "with",      "within",
};

static int compare_command(const void *key, const void *word)
{
	return strcmp(key, ((const struct word *)word)->word);
}

static int compare_word(const void *key, const void *word)
{
	return strcmp(key, *(const char *const *)word);
}

unsigned plpgsql_word_traits(const char *word)
{
	const struct word *found = bsearch(word, commands, sizeof(commands) / sizeof(*commands),
	                                   sizeof(*commands), compare_command);
	return found ? found->traits : 0;
}

bool plpgsql_is_no_function(const char *word)
{
	return bsearch(word, no_functions, sizeof(no_functions) / sizeof(*no_functions),
	               sizeof(*no_functions), compare_word);
}
