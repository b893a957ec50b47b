/* parser.c - from a text to its raw tree, and through its statements. */
/* SPDX-License-Identifier: MIT */
#include "sql/parser.h"

#include "sql/parse_tree.h"

/* clang-format off */
#include <pg_query.h>
#include <pg_query/pg_query_internal.h>
/* clang-format on */

#include <stdlib.h>

/* The parser's settings; thread-locals here, unlike in PostgreSQL. */
extern __thread bool standard_conforming_strings, escape_string_warning;
extern __thread int client_min_messages, log_min_messages;

/* Warnings that nobody reads cost a pass over the text before them, each. */
static void configure(bool standard_strings)
{
	standard_conforming_strings = standard_strings;
	escape_string_warning = false;
	client_min_messages = log_min_messages = ERROR;
}

static void walk_statement(struct walk *w, Node *node)
{
	struct draft *d = w->draft;
	switch (nodeTag(node)) {
	case T_SelectStmt:
		d->kind = ((SelectStmt *)node)->valuesLists ? SQL_VALUES : SQL_SELECT;
		break;
	case T_InsertStmt:
		d->kind = SQL_INSERT;
		break;
	case T_UpdateStmt:
		d->kind = SQL_UPDATE;
		break;
	case T_DeleteStmt:
		d->kind = SQL_DELETE;
		break;
	case T_MergeStmt:
		d->kind = SQL_MERGE;
		break;
	default:
		walk_utility(w, node);
		return;
	}
	walk_tree(w, node, false);
}

static void walk_statements(struct walk *w, const char *sql, const List *statements)
{
	struct draft *d = w->draft;
	d->kind = SQL_EMPTY;
	d->statements = (unsigned)list_length(statements);
	for (int i = 0; i < list_length(statements); i++) {
		const RawStmt *raw = list_nth(statements, i);
		w->text = sql + raw->stmt_location;
		w->size = raw->stmt_len ? (size_t)raw->stmt_len : strlen(w->text);
		walk_statement(w, raw->stmt);
	}
	if (d->statements > 1)
		d->kind = SQL_MULTI;
	walk_free(w);
}

bool parse(struct draft *draft, const struct catalog_lookup *catalog, const char *sql,
           bool standard_strings)
{
	struct walk walk = {
	        .draft = draft, .catalog = catalog, .standard_strings = standard_strings};
	MemoryContext context = pg_query_enter_memory_context();
	configure(standard_strings);
	PgQueryInternalParsetreeAndError result = pg_query_raw_parse(sql);
	bool parsed = !result.error;
	if (parsed)
		walk_statements(&walk, sql, result.tree);
	else
		pg_query_free_error(result.error);
	free(result.stderr_buffer);
	pg_query_exit_memory_context(context);
	return parsed;
}
