/* parse_utility.c - commands other than definitions: what they run, and what they leave behind. */
/* SPDX-License-Identifier: MIT */
#include "sql/parse_session.h"
#include "sql/words.h"

#include <string.h>
#include <strings.h>

static const char *const session_command = "changes the session";

static void walk_copy(struct walk *w, const CopyStmt *copy)
{
	w->draft->kind = SQL_COPY;
	walk_tree(w, copy->relation, false);
	walk_tree(w, copy->query, false);
	walk_tree(w, copy->whereClause, false);
	if (copy->is_program)
		walk_write(w, EFFECT_COPY_PROGRAM, "runs a program on the server");
	else if (copy->filename)
		walk_write(w, EFFECT_COPY_FILE, "uses a file of the server's");
	else
		w->draft->effects |= copy->is_from ? EFFECT_COPY_IN : EFFECT_COPY_OUT;
	if (copy->is_from) {
		walk_write(w, 0, "modifies data");
		walk_target(w, copy->relation);
	}
}

/* ANALYZE, unless it is clearly turned off. */
static bool is_analyze(const DefElem *option)
{
	if (strcmp(option->defname, "analyze") != 0)
		return false;
	if (!option->arg)
		return true;
	if (IsA(option->arg, Integer))
		return intVal(option->arg) != 0;
	return !IsA(option->arg, String) || (strcasecmp(strVal(option->arg), "false") != 0 &&
	                                     strcasecmp(strVal(option->arg), "off") != 0);
}

static bool wants_analyze(const List *options)
{
	bool analyze = false;
	for (int i = 0; i < list_length(options); i++)
		analyze |= is_analyze(list_nth(options, i));
	return analyze;
}

/* What EXPLAIN explains: a cursor's or a new table's query stand for it. EXECUTE has none, nor
 * has REFRESH MATERIALIZED VIEW. */
static Node *explained_query(Node *node)
{
	switch (nodeTag(node)) {
	case T_DeclareCursorStmt:
		return castNode(DeclareCursorStmt, node)->query;
	case T_CreateTableAsStmt:
		return explained_query(castNode(CreateTableAsStmt, node)->query);
	case T_SelectStmt:
	case T_InsertStmt:
	case T_UpdateStmt:
	case T_DeleteStmt:
	case T_MergeStmt:
		return node;
	default:
		return NULL;
	}
}

/* EXPLAIN ANALYZE CREATE TABLE AS makes the table. */
static void explain_creation(struct walk *w, const IntoClause *into)
{
	walk_write(w, EFFECT_INTO | EFFECT_DDL, "changes the catalog");
	walk_creation(w, into->rel, into->onCommit);
}

static void walk_explain(struct walk *w, const ExplainStmt *explain)
{
	bool analyze = wants_analyze(explain->options);
	Node *query = explained_query(explain->query);
	w->draft->kind = SQL_EXPLAIN;
	if (analyze)
		w->draft->effects |= EFFECT_EXPLAIN_ANALYZE;
	if (analyze && IsA(explain->query, CreateTableAsStmt))
		explain_creation(w, castNode(CreateTableAsStmt, explain->query)->into);
	if (!query)
		walk_write(w, analyze ? EFFECTS_OF_HIDDEN_CODE : 0,
		           "runs what the session has prepared, or explains a command");
	walk_tree(w, query, !analyze);
}

static void walk_declare(struct walk *w, const DeclareCursorStmt *declare)
{
	w->draft->kind = SQL_DECLARE;
	walk_tree(w, declare->query, false);
	if (!(declare->options & CURSOR_OPT_HOLD))
		return; /* it lives in its block, and reads what it reads */
	w->draft->pins |= PIN_CURSOR;
	draft_write(w->draft, session_command);
}

static void walk_prepare(struct walk *w, const PrepareStmt *prepare)
{
	w->draft->kind = SQL_PREPARE;
	w->draft->pins |= PIN_PREPARE;
	draft_name(w->draft, prepare->name);
	draft_write(w->draft, session_command);
	walk_tree(w, prepare->query, true);
}

static void walk_do(struct walk *w)
{
	w->draft->kind = SQL_DO;
	walk_write(w, EFFECTS_OF_HIDDEN_CODE, "runs a program");
	words_of_program(w->draft, w->text, w->size, w->standard_strings, true);
}

static void walk_truncate(struct walk *w, const List *relations)
{
	for (int i = 0; i < list_length(relations); i++)
		walk_target(w, list_nth(relations, i));
}

static void walk_vacuum(struct walk *w, const VacuumStmt *vacuum)
{
	for (int i = 0; i < list_length(vacuum->rels); i++)
		walk_relation(w, castNode(VacuumRelation, list_nth(vacuum->rels, i))->relation);
}

/* Commands that are told by their node alone. */
static const struct command {
	NodeTag tag;
	enum sql_kind kind;
	unsigned pins, effects;
	const char *reason;
} commands[] = {
        {T_FetchStmt, SQL_FETCH, 0, 0, "uses a cursor of the session's"},
        {T_ClosePortalStmt, SQL_CLOSE, 0, EFFECT_UNPINS, "uses a cursor of the session's"},
        {T_DeallocateStmt, SQL_DEALLOCATE, 0, EFFECT_UNPINS, "changes the session"},
        {T_ExecuteStmt, SQL_EXECUTE, 0, EFFECTS_OF_HIDDEN_CODE,
         "runs what the session has prepared"},
        {T_ListenStmt, SQL_LISTEN, PIN_LISTEN, 0, "changes the session"},
        {T_UnlistenStmt, SQL_UNLISTEN, 0, EFFECT_UNPINS, "changes the session"},
        {T_NotifyStmt, SQL_NOTIFY, 0, 0, "notifies, which a standby refuses"},
        {T_LoadStmt, SQL_LOAD, PIN_LOAD, EFFECT_NODE, "loads a library of the server's"},
        {T_ConstraintsSetStmt, SQL_SET, 0, 0, "controls a transaction"},
        {T_CallStmt, SQL_CALL, 0, EFFECT_VOLATILE | EFFECTS_OF_HIDDEN_CODE, "calls a procedure"},
        {T_LockStmt, SQL_LOCK, 0, 0, "locks tables"},
        {T_TruncateStmt, SQL_TRUNCATE, 0, 0, "modifies data"},
        {T_CheckPointStmt, SQL_UTILITY, 0, EFFECT_NODE, "acts on the node"},
        {T_AlterSystemStmt, SQL_ALTER, 0, EFFECT_NODE, "acts on the node"},
        {T_VacuumStmt, SQL_UTILITY, 0, 0, "maintains tables"},
        {T_ClusterStmt, SQL_UTILITY, 0, 0, "maintains tables"},
        {T_ReindexStmt, SQL_UTILITY, 0, 0, "maintains tables"},
        {T_RefreshMatViewStmt, SQL_UTILITY, 0, 0, "modifies data"},
};

/* The names of these. */
static void note_names(struct walk *w, Node *node)
{
	switch (nodeTag(node)) {
	case T_DeallocateStmt:
		if (castNode(DeallocateStmt, node)->name)
			draft_name(w->draft, castNode(DeallocateStmt, node)->name);
		break;
	case T_ExecuteStmt:
		draft_name(w->draft, castNode(ExecuteStmt, node)->name);
		walk_tree(w, castNode(ExecuteStmt, node)->params, false);
		break;
	case T_CallStmt:
		walk_tree(w, castNode(CallStmt, node)->funccall, false);
		break;
	case T_LockStmt:
		walk_relations(w, castNode(LockStmt, node)->relations);
		break;
	case T_TruncateStmt:
		walk_truncate(w, castNode(TruncateStmt, node)->relations);
		break;
	case T_VacuumStmt:
		walk_vacuum(w, castNode(VacuumStmt, node));
		break;
	case T_ClusterStmt:
		walk_relation(w, castNode(ClusterStmt, node)->relation);
		break;
	case T_ReindexStmt:
		walk_relation(w, castNode(ReindexStmt, node)->relation);
		break;
	case T_RefreshMatViewStmt:
		walk_relation(w, castNode(RefreshMatViewStmt, node)->relation);
		break;
	default:
		break;
	}
}

static void walk_command(struct walk *w, Node *node)
{
	struct draft *d = w->draft;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *command = &commands[i];
		if (command->tag != nodeTag(node))
			continue;
		d->kind = command->kind;
		d->pins |= command->pins;
		walk_write(w, command->effects, command->reason);
		note_names(w, node);
		return;
	}
	if (walk_definition(w, node))
		return;
	d->kind = SQL_UTILITY;
	d->pins |= PIN_SESSION;
	walk_write(w, EFFECTS_OF_HIDDEN_CODE, "is a command that is not known");
}

void walk_utility(struct walk *w, Node *node)
{
	switch (nodeTag(node)) {
	case T_TransactionStmt:
		walk_transaction(w, castNode(TransactionStmt, node));
		break;
	case T_VariableSetStmt:
		walk_set(w, castNode(VariableSetStmt, node));
		break;
	case T_VariableShowStmt:
		walk_show(w, castNode(VariableShowStmt, node));
		break;
	case T_DiscardStmt:
		walk_discard(w, castNode(DiscardStmt, node));
		break;
	case T_CopyStmt:
		walk_copy(w, castNode(CopyStmt, node));
		break;
	case T_ExplainStmt:
		walk_explain(w, castNode(ExplainStmt, node));
		break;
	case T_DeclareCursorStmt:
		walk_declare(w, castNode(DeclareCursorStmt, node));
		break;
	case T_PrepareStmt:
		walk_prepare(w, castNode(PrepareStmt, node));
		break;
	case T_DoStmt:
		walk_do(w);
		break;
	default:
		walk_command(w, node);
	}
}
