/* parser.h - a statement's facts from PostgreSQL's own grammar (libpg_query).
 *
 * libpg_query keeps its state in thread-locals; each thread that parses uses up one of the
 * process's pthread keys for good: parse on few, long-lived threads. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_PARSER_H
#define MOONGATE_SQL_PARSER_H

#include "sql/catalog.h"
#include "sql/draft.h"

/* What keeps a parse below 50 ms, with room to spare (a token costs 0.1-0.6 us, a unit of operator
 * cost 5 ns: tests/bench/classify.c). The parser's stack is on the heap, and so is the walk's:
 * depth cannot crash them. */
#define PARSE_TEXT          ((size_t)2 << 20)
#define PARSE_TOKENS        ((size_t)50000)
#define PARSE_OPERATOR_COST ((uint64_t)1000000)

/* Fills the draft, by what the catalog says of names; false when `sql` is no statement that the
 * grammar knows. `sql` ends with a NUL and is within the limits. */
bool parse(struct draft *draft, const struct catalog_lookup *catalog, const char *sql,
           bool standard_strings);

#endif
