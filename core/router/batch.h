/* batch.h - the unit of routing: a simple Query, or extended messages up to Sync or Flush. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_BATCH_H
#define MOONGATE_ROUTER_BATCH_H

#include "base/status.h"
#include "sql/classifier.h"

#include <stdbool.h>
#include <stdint.h>

#define BATCH_TEXT   (1024 * 1024) /* a statement beyond this many bytes is a write, unread */
#define BATCH_GATHER (64 * 1024)   /* an extended batch beyond this is routed by what has arrived */

enum batch_end {
	BATCH_NO_ANSWER, /* ends without one: Flush, or cut at BATCH_GATHER */
	BATCH_QUERY,     /* one answer: Query or FunctionCall */
	BATCH_SYNC,      /* one answer: Sync */
	BATCH_TERMINATE, /* Terminate: the client leaves */
	BATCH_STRAY,     /* copy data with no copy under way: PostgreSQL ignores it, so do we */
};

struct batch {
	enum batch_end end;
	size_t size;    /* bytes that are there */
	size_t passing; /* bytes of its last message that are still to come */
	enum intent intent;
	unsigned pins, effects;
	bool text;       /* it brings a statement: */
	const char *sql; /* the one that decides; NULL where it is beyond BATCH_TEXT */
	size_t sql_size;
	bool bare, copy_end, uncertain;
	bool named;          /* prepares a named statement */
	bool unnamed;        /* prepares the unnamed statement */
	bool executes;       /* runs a portal */
	bool needs_unnamed;  /* uses an unnamed statement that it does not prepare itself */
	bool several;        /* brings more than one statement */
	unsigned parameters; /* of its first Bind */
};

/* ST_OK: a batch. ST_AGAIN: not all of it is there. ST_ECLIENT: `*wrong` says what is (static). */
enum status batch_scan(struct classifier *classifier, bool standard_strings, const uint8_t *bytes,
                       size_t size, struct batch *batch, const char **wrong) MUST_CHECK;

#endif
