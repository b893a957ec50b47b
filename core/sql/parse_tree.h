/* parse_tree.h - what the parse*.c files share: the walk over PostgreSQL's raw tree.
 *
 * The walk keeps the nodes that are still to be seen in a list of its own, so that the depth of a
 * tree costs no stack. Their order is of no consequence. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_PARSE_TREE_H
#define MOONGATE_SQL_PARSE_TREE_H

/* clang-format off */
#include <postgres.h>
#include <catalog/pg_class.h>
#include <nodes/parsenodes.h>
/* clang-format on */

#include "sql/catalog_known.h"
#include "sql/draft.h"

/* The common table expressions that a name may mean: the first `visible` ones of `ctes`, then
 * those of the scope around it. */
struct scope {
	List *ctes;
	int visible;
	uint32_t around; /* index + 1 of a scope, 0: none */
};

struct item {
	Node *node;
	uint32_t scope; /* as `around` */
	bool quiet;     /* it is not run: names are noted, what it would do is not */
};

struct walk {
	struct draft *draft;
	const struct catalog_lookup *catalog;
	const char *text; /* of the statement */
	size_t size;
	bool standard_strings;

	struct item *items;
	size_t item_count, item_room;
	struct scope *scopes;
	size_t scope_count, scope_room;
	uint64_t lookups; /* names compared with those of common table expressions */
	struct item now;  /* the node being seen */
};

/* Walks over an expression, or a SELECT, INSERT, UPDATE, DELETE, MERGE. NULL is fine. */
void walk_tree(struct walk *w, void *node, bool quiet);

/* Notes a relation that the statement names, whatever for. NULL is fine. */
void walk_relation(struct walk *w, const RangeVar *relation);

/* The same, of one that is written to: what its defaults and triggers do. NULL is fine. */
void walk_target(struct walk *w, const RangeVar *relation);

/* A list of them. */
void walk_relations(struct walk *w, const List *relations);

/* Notes one that is made, for the statement's own sake: it may be temporary. */
void walk_creation(struct walk *w, const RangeVar *relation, OnCommitAction on_commit);

/* The characters of a constant that is a string; NULL for any other node, and for NULL. */
const char *walk_string(const Node *node);

/* The same; the constant may be cast to text. */
const char *walk_text(const Node *node);

/* What a constant says as a boolean: TRUE, 'on', 0 ... */
enum truth { TRUTH_NO, TRUTH_YES, TRUTH_UNSURE };
enum truth walk_truth(const Node *node);

/* The string of a String node. */
static inline const char *walk_name(const void *node)
{
	return strVal(node);
}

void walk_free(struct walk *w);

/* Any statement that walk_tree() does not take: commands. */
void walk_utility(struct walk *w, Node *node);

/* CREATE, ALTER, DROP ...: notes their tables. False: it is none of them. */
bool walk_definition(struct walk *w, Node *node);

/* A function call's own effects; its arguments are walked over by the caller. */
void walk_call(struct walk *w, const FuncCall *call);

/* What running it amounts to. */
static inline void walk_known(struct walk *w, struct known_function known)
{
	if (w->now.quiet || !known.reason)
		return;
	w->draft->pins |= known.pins;
	w->draft->effects |= known.effects;
	draft_write(w->draft, known.reason);
}

static inline void walk_write(struct walk *w, unsigned effects, const char *reason)
{
	if (w->now.quiet)
		return;
	w->draft->effects |= effects;
	draft_write(w->draft, reason);
}

#endif
