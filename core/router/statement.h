/* statement.h - prepared statements, as clients name them and as servers know them.
 *
 * A *statement* is one text with its parameter types, parsed under one set of settings; it is kept
 * once per worker, whoever uses it. A client's names lead to statements; a server holds some of
 * them under names of its own (session.h). So a client's statement goes with it to any server. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_STATEMENT_H
#define MOONGATE_ROUTER_STATEMENT_H

#include "base/status.h"
#include "sql/classifier.h"

#include <uthash.h>

struct statement_table;

/* Equal for equal texts and types that parse alike. */
struct statement_key {
	uint64_t parts[2];
};

struct statement {
	UT_hash_handle hh;
	struct statement_table *table;
	unsigned refs;
	struct statement_key key;
	struct facts *facts;     /* as of `epoch` and `catalog`; NULL: not asked for yet */
	uint64_t epoch, catalog; /* the catalog's version */
	bool standard_strings;
	size_t size, sql_size; /* of body; of its text, without the NUL */
	char body[];           /* of a Parse message, behind the name: text, parameter types */
};

/* One per worker; zero is empty, but for `classifier`. */
struct statement_table {
	struct statement *all; /* uthash */
	struct classifier *classifier;
	uint8_t secret[192]; /* what the keys are made with */
};

/* Of a Parse message whose body goes on with `body` behind the name; `parse_key` is that of the
 * client's settings. */
struct statement_key statement_key(const struct statement_table *table, const uint8_t *body,
                                   size_t size, uint64_t parse_key, bool standard_strings);

/* NULL: nobody has it. Its caller does not own it. */
struct statement *statement_known(const struct statement_table *table, struct statement_key key);

/* The statement; made where nobody has it. The caller's to give back. NULL: out of memory. */
struct statement *statement_of(struct statement_table *table, struct statement_key key,
                               const uint8_t *body, size_t size, bool standard_strings);
struct statement *statement_ref(struct statement *s);
void statement_unref(struct statement *s); /* NULL is fine */

/* What it is in a database with this catalog; valid until the next call for any statement or the
 * classifier. */
const struct facts *statement_facts(struct statement *s, const struct catalog *catalog);

/* A client's name for a statement. */
struct prepared_name {
	UT_hash_handle hh;
	struct statement *statement;
	char name[];
};

/* NULL: the client has no such name. */
struct statement *names_find(struct prepared_name *names, const char *name);

/* Names it, or with NULL forgets the name. */
enum status names_set(struct prepared_name **names, const char *name, struct statement *statement);
void names_clear(struct prepared_name **names);

#endif
