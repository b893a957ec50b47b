/* draft.h - facts while they are being gathered. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_DRAFT_H
#define MOONGATE_SQL_DRAFT_H

#include "sql/facts.h"

#define DRAFT_NAMES 1024 /* different tables, functions or settings of one statement */

/* Names in the order of their first mention, without repeats. */
struct names {
	char **items;
	size_t count, bytes; /* `bytes`: of all of them, with their NULs */
	uint32_t *slots;     /* hash to index + 1, 0: free */
};

struct draft {
	enum sql_kind kind;
	unsigned pins, effects, statements;
	uint64_t fingerprint;
	const char *reason; /* the first one found; NULL: the statement only reads */
	char *name;         /* as in facts; owned */
	bool broken;        /* too many names, or out of memory */
	struct names tables, functions, settings;
};

/* The statement is a `write`; the first reason given stays. */
static inline void draft_write(struct draft *d, const char *reason)
{
	if (!d->reason)
		d->reason = reason;
}

/* "schema.name", or "name" where `schema` is NULL. */
void draft_table(struct draft *d, const char *schema, const char *name);
void draft_function(struct draft *d, const char *schema, const char *name);

/* The session's value of the setting `name`, in any case, may be another from now on. */
void draft_setting(struct draft *d, const char *name);

/* The statement is about what the session calls `name`. */
void draft_name(struct draft *d, const char *name);

/* One block that free() gives back; NULL: out of memory. The draft is empty afterwards. */
struct facts *draft_finish(struct draft *d);

#endif
