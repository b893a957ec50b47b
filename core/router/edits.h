/* edits.h - where the answers to a batch differ from what the server says.
 *
 * A batch that names statements is rewritten for the server (rewrite.h): some messages are sent on
 * our own account, some not at all. Each such place is an *edit*; edits are met in the order in
 * which they were made, as the completions come: ParseComplete, BindComplete, CloseComplete,
 * RowDescription or NoData, CommandComplete, EmptyQueryResponse, PortalSuspended. After an error
 * the server ignores the rest of the batch (55.2.3), so what is left of its edits is undone. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_EDITS_H
#define MOONGATE_ROUTER_EDITS_H

#include "base/status.h"
#include "router/statement.h"

#include <stdbool.h>

enum edit_action {
	EDIT_INJECT_PARSE, /* ParseComplete is ours to send: the server was not asked */
	EDIT_INJECT_CLOSE, /* CloseComplete likewise */
	EDIT_SWALLOW,      /* the next completion answers a message of ours */
	EDIT_CONFIRM,      /* the next completion is the client's, and settles what was changed */
	/* An error comes, which the client gets in PostgreSQL's words for `name`. */
	EDIT_EXISTS,  /* it names a statement already */
	EDIT_MISSING, /* it names none */
	/* What was sent stands in for what is refused here; `name` is SQLSTATE and message. */
	EDIT_REFUSED,
	EDIT_REJECTED, /* likewise, by the policy */
};

#define EDIT_SQLSTATE 5 /* bytes */

/* An error comes that is to be in other words. */
static inline bool edit_is_error(enum edit_action action)
{
	return action >= EDIT_EXISTS;
}

/* What becomes undone where the edit is not met. */
enum edit_change {
	CHANGE_NOTHING,
	CHANGE_PREPARES, /* `statement` is prepared as `number` */
	CHANGE_EVICTS,   /* `statement`, prepared as `number`, is closed */
};

struct edit {
	enum edit_action action;
	enum edit_change change;
	uint32_t batch, after;       /* when: behind this many of the batch's completions */
	unsigned number;             /* see enum edit_change */
	struct statement *statement; /* owned */
	char *name;                  /* the client's name that was changed, NULL: none; owned */
	bool names_unnamed;          /* its unnamed statement was */
	struct statement *before;    /* what it named until then; owned, may be NULL */
};

/* First in, first out. Zero is empty. */
struct edits {
	struct edit *items;
	size_t first, count, room;
};

/* Takes over what the edit owns, also where memory is out. */
enum status edits_push(struct edits *e, const struct edit *edit) MUST_CHECK;

/* NULL: none is left. */
static inline struct edit *edits_front(struct edits *e)
{
	return e->count ? &e->items[e->first] : NULL;
}

/* The last one. */
static inline struct edit *edits_back(struct edits *e)
{
	return e->count ? &e->items[e->first + e->count - 1] : NULL;
}

void edits_pop_front(struct edits *e);
void edits_pop_back(struct edits *e);
void edits_clear(struct edits *e); /* keeps its room */
void edits_free(struct edits *e);

#endif
