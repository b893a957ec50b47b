/* batch.h - the unit of routing: a simple Query, or extended messages up to Sync or Flush. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_BATCH_H
#define MOONGATE_ROUTER_BATCH_H

#include "base/buffer.h"
#include "cluster/scopes.h"
#include "router/statement.h"
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
	unsigned pins, effects;    /* of all its statements */
	unsigned statements;       /* how many it brings or binds; several in one string are many */
	const struct facts *facts; /* of the one that decides: the first write, else the first */
	uint64_t fingerprint;      /* of that one, for good; 0: not read, or there is none */
	enum sql_kind kind;
	struct statement *statement; /* where a client's name led to it; else it is at `sql` */
	const char *named;           /* the last name that it uses, in its bytes, */
	struct statement *named_as;  /* and what that meant ahead of it */
	const uint8_t *parsed;       /* the text of its last Parse, and its key */
	struct statement_key parsed_key;
	const char *sql; /* NULL where it is beyond BATCH_TEXT, or there is none */
	size_t sql_size;
	bool writes;         /* it may change data */
	bool commits;        /* it holds COMMIT */
	bool bare;           /* a Sync, and no more */
	bool copy_end;       /* CopyDone or CopyFail ahead of its Sync */
	bool uncertain;      /* it may begin or end a transaction block */
	bool extended;       /* not a simple Query */
	bool names;          /* uses or changes names of statements */
	bool changes_names;  /* prepares or closes some, or a statement of it may */
	bool deallocates;    /* holds DEALLOCATE of a name */
	bool unread;         /* it may SET what nobody has read of */
	bool unnamed;        /* prepares the unnamed statement */
	bool needs_unnamed;  /* uses an unnamed statement that it does not prepare itself */
	bool binds;          /* holds a Bind */
	bool works;          /* binds, describes or parses: a server must see it */
	unsigned executes;   /* portals that it runs */
	unsigned parameters; /* of its first Bind */
};

/* The tables that statements name: all of them, and those of statements that may write. */
struct batch_tables {
	struct tables all, written;
};

/* What a batch is read with. */
struct batch_reader {
	struct classifier *classifier;
	const struct statement_table *statements;
	uint64_t parse_key;            /* of the client's settings */
	const struct catalog *catalog; /* of the client's database; NULL: not known */
	bool standard_strings;
	bool unreadable;             /* the client's encoding: no text can be judged */
	struct prepared_name *names; /* the client's */
	struct statement *unnamed;   /* and its unnamed statement; NULL: none */
	struct buffer *touched; /* filled with the names of settings that it may change, each with
	                           its NUL */
	struct batch_tables *tables; /* added to; NULL: nobody wants to know */
};

/* ST_OK: a batch; its facts are valid until the next question to the classifier. ST_AGAIN: not all
 * of it is there. ST_ECLIENT: `*wrong` says what is (static). ST_ENOMEM. */
enum status batch_scan(const struct batch_reader *reader, const uint8_t *bytes, size_t size,
                       struct batch *batch, const char **wrong) MUST_CHECK;

/* Where the string at `at` ends, behind its NUL; NULL: not before `end`. */
const uint8_t *batch_skip_string(const uint8_t *at, const uint8_t *end);

#endif
