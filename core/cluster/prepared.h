/* prepared.h - the statements that are prepared on a server of the embedded module: at most as many
 * as the pool's `prepared_statements` says, the least recently used go first.
 *
 * A statement is what its text and the types of its parameters are: the same text with an integer
 * and with a string for $1 is two of them. Names are numbered, and never used twice on one server.
 *
 *  new --> known --> doomed --> closed          doomed: it is closed when another is prepared, and
 *             \                                 not inside of a block, which a failure would ruin
 *              +--> forgotten                   DISCARD ALL, DEALLOCATE ALL: the server has */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_PREPARED_H
#define MOONGATE_CLUSTER_PREPARED_H

#include "cluster/exec.h"

struct prepared;
struct prepared_cache;

#define PREPARED_NAME 40

/* Of the text alone; never 0. */
uint64_t prepared_hash(const char *sql, size_t size);

/* The server's, made at first use; it goes with the server. NULL: out of memory. */
struct prepared_cache *prepared_cache_of(struct server *server);

/* NULL: it is not prepared there. */
struct prepared *prepared_find(struct prepared_cache *cache, const struct exec_query *query);

/* One that is not known yet, with a name of its own. NULL: it is to run unprepared, since there is
 * no memory, or no room inside of a block. The caller has prepared_add() or free() take it. */
struct prepared *prepared_new(struct prepared_cache *cache, const struct exec_query *query,
                              bool in_block);
const char *prepared_name(const struct prepared *prepared);

/* In which format its results are asked for: 0 text, 1 binary. Text, until it is told. */
int prepared_format(const struct prepared *prepared);
bool prepared_has_format(const struct prepared *prepared); /* it was told */
void prepared_set_format(struct prepared *prepared, int format);

/* PostgreSQL has it now. */
void prepared_add(struct prepared_cache *cache, struct prepared *prepared);

/* How many are doomed; the SQL that closes number `i` of them; the first of them is closed. */
unsigned prepared_doomed(const struct prepared_cache *cache);
void prepared_close_sql(const struct prepared_cache *cache, unsigned i,
                        char sql[PREPARED_NAME + 16]);
void prepared_closed(struct prepared_cache *cache);

/* This one is of no use any more; `gone`: PostgreSQL does not have it, either. Fine where nothing
 * was prepared. */
void prepared_drop(struct server *server, const struct exec_query *query, bool gone);

/* The server has closed all. */
void prepared_forget(struct server *server);

#endif
