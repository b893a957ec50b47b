/* classifier.h - from a statement's text to its facts, through a bounded cache.
 *
 * text --lexer--> normalized key --cache--> facts            (a hit: no parser, no allocation)
 *                                  miss --libpg_query, walk--> facts, remembered
 *
 * One per worker; not for use by two threads at once. Whatever the text holds, an answer comes in
 * bounded time and stack: what is too long, too deep or too slow to parse is a `write` of kind
 * SQL_UNKNOWN, with a reason. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_CLASSIFIER_H
#define MOONGATE_SQL_CLASSIFIER_H

#include "sql/catalog.h"
#include "sql/facts.h"

struct classifier;

struct classifier_stats {
	uint64_t hits, misses, evictions;
	uint64_t refused; /* beyond the limits, hence `write` without having been parsed */
	size_t entries;
};

/* At most `entries` statements are remembered (least recently used go first). NULL: out of memory.
 */
struct classifier *classifier_new(size_t entries);
void classifier_free(struct classifier *c); /* NULL is fine */

/* The facts of `sql`, `size` bytes long and followed by a NUL at sql[size], in a database whose
 * catalog is `catalog`; NULL: it is not known.
 * `standard_strings` is the session's standard_conforming_strings.
 * Never NULL. Valid until the next call on this classifier; facts_copy() keeps them longer. */
const struct facts *classifier_facts(struct classifier *c, const struct catalog *catalog,
                                     const char *sql, size_t size, bool standard_strings);

/* The intent of statements like this one is `write` from now on, as a server has shown, for as long
 * as the catalog says what it says. */
void classifier_learn_write(struct classifier *c, const struct catalog *catalog, const char *sql,
                            size_t size, bool standard_strings);

/* Grows whenever classifier_learn_write() has changed what a statement is: facts_copy()s made
 * before may be wrong. */
uint64_t classifier_epoch(const struct classifier *c);

struct classifier_stats classifier_stats(const struct classifier *c);

#endif
