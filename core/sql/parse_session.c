/* parse_session.c - transaction control, settings, DISCARD. */
/* SPDX-License-Identifier: MIT */
#include "sql/parse_session.h"

#include "sql/known.h"
#include "sql/words.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const read_only_setting = "transaction_read_only";
static const char *const isolation_setting = "transaction_isolation";
static const char *const deferrable_setting = "transaction_deferrable";

static unsigned isolation_effects(const char *level)
{
	if (!level || strcasecmp(level, "serializable") == 0)
		return EFFECT_SERIALIZABLE;
	return strcasecmp(level, "repeatable read") == 0 ? EFFECT_REPEATABLE : 0;
}

static bool is_set(const DefElem *mode)
{
	const A_Const *constant = (const A_Const *)mode->arg;
	return IsA(constant, A_Const) && constant->val.ival.ival != 0;
}

/* The modes of BEGIN, START TRANSACTION, SET TRANSACTION. */
static unsigned mode_effects(const List *modes)
{
	unsigned effects = 0;
	for (int i = 0; i < list_length(modes); i++) {
		const DefElem *mode = list_nth(modes, i);
		if (strcmp(mode->defname, read_only_setting) == 0)
			effects |= is_set(mode) ? EFFECT_READ_ONLY : EFFECT_READ_WRITE;
		else if (strcmp(mode->defname, isolation_setting) == 0)
			effects |= isolation_effects(walk_string(mode->arg));
		else if (strcmp(mode->defname, deferrable_setting) == 0 && is_set(mode))
			effects |= EFFECT_DEFERRABLE;
	}
	return effects;
}

static void begin(struct walk *w, const TransactionStmt *transaction)
{
	unsigned modes = mode_effects(transaction->options);
	w->draft->kind = SQL_BEGIN;
	w->draft->effects |= EFFECT_BEGIN | EFFECT_LAZY | modes;
	if (!(modes & EFFECT_READ_ONLY) || (modes & EFFECT_READ_WRITE))
		draft_write(w->draft, "opens a block that may write");
	else if (modes & EFFECT_SERIALIZABLE)
		draft_write(w->draft, "opens a serializable block, which a standby refuses");
}

/* What ends a block, or a part of it, may undo what pins: a temporary table that it has made. */
static const struct transaction_kind {
	enum sql_kind kind;
	unsigned effects;
} transaction_kinds[] = {
        [TRANS_STMT_COMMIT] = {SQL_COMMIT, EFFECT_END | EFFECT_UNPINS},
        [TRANS_STMT_ROLLBACK] = {SQL_ROLLBACK, EFFECT_END | EFFECT_UNPINS},
        [TRANS_STMT_SAVEPOINT] = {SQL_SAVEPOINT, EFFECT_SAVEPOINT},
        [TRANS_STMT_RELEASE] = {SQL_RELEASE, EFFECT_SAVEPOINT},
        [TRANS_STMT_ROLLBACK_TO] = {SQL_ROLLBACK, EFFECT_SAVEPOINT | EFFECT_UNPINS},
        [TRANS_STMT_PREPARE] = {SQL_PREPARE_TRANSACTION, EFFECT_END | EFFECT_UNPINS},
        [TRANS_STMT_COMMIT_PREPARED] = {SQL_COMMIT_PREPARED, 0},
        [TRANS_STMT_ROLLBACK_PREPARED] = {SQL_ROLLBACK_PREPARED, 0},
};

void walk_transaction(struct walk *w, const TransactionStmt *transaction)
{
	if (transaction->kind == TRANS_STMT_BEGIN || transaction->kind == TRANS_STMT_START) {
		begin(w, transaction);
		return;
	}
	const struct transaction_kind *kind = &transaction_kinds[transaction->kind];
	w->draft->kind = kind->kind;
	w->draft->effects |= kind->effects;
	if (transaction->chain)
		w->draft->effects |= EFFECT_BEGIN | EFFECT_CHAIN;
	draft_write(w->draft, "controls a transaction");
}

/* Settings that begin anew with each transaction. SET of one says the same as SET TRANSACTION. */
static bool of_transaction(const char *name)
{
	return strcasecmp(name, read_only_setting) == 0 ||
	       strcasecmp(name, isolation_setting) == 0 ||
	       strcasecmp(name, deferrable_setting) == 0;
}

static unsigned transaction_effects(const char *name, const Node *value)
{
	if (strcasecmp(name, isolation_setting) == 0)
		return isolation_effects(walk_string(value));
	enum truth truth = walk_truth(value);
	if (strcasecmp(name, deferrable_setting) == 0)
		return truth == TRUTH_NO ? 0 : EFFECT_DEFERRABLE;
	return truth == TRUTH_YES ? EFFECT_READ_ONLY : EFFECT_READ_WRITE;
}

/* Names that PostgreSQL still takes for others. */
static const char *current_name(const char *name)
{
	if (strcasecmp(name, "sort_mem") == 0)
		return "work_mem";
	return strcasecmp(name, "vacuum_mem") == 0 ? "maintenance_work_mem" : name;
}

void walk_setting(struct walk *w, const char *name, bool local)
{
	if (strcasecmp(name, "seed") == 0) /* is where random() goes on from, and no value */
		w->draft->pins |= PIN_SESSION;
	else if (!local && !of_transaction(name))
		draft_setting(w->draft, current_name(name));
	if (!local && strcasecmp(name, "session_authorization") == 0)
		draft_setting(w->draft, "role");
}

/* SET SESSION CHARACTERISTICS: the defaults of the modes. */
static void set_characteristics(struct walk *w, const List *modes)
{
	char name[64];
	for (int i = 0; i < list_length(modes); i++) {
		const DefElem *mode = list_nth(modes, i);
		snprintf(name, sizeof(name), "default_%s", mode->defname);
		draft_setting(w->draft, name);
	}
}

/* SET TRANSACTION, with modes or a SNAPSHOT; SET SESSION CHARACTERISTICS. */
static void set_modes(struct walk *w, const VariableSetStmt *set)
{
	if (strcmp(set->name, "TRANSACTION") == 0)
		w->draft->effects |= EFFECT_LAZY | mode_effects(set->args);
	else if (strcmp(set->name, "SESSION CHARACTERISTICS") == 0 && !set->is_local)
		set_characteristics(w, set->args);
}

static void set_one(struct walk *w, const VariableSetStmt *set)
{
	if (of_transaction(set->name)) {
		const Node *value = set->args ? linitial(set->args) : NULL;
		w->draft->effects |= transaction_effects(set->name, value);
		return;
	}
	walk_setting(w, set->name, set->is_local);
	if (set->kind == VAR_RESET || set->kind == VAR_SET_DEFAULT)
		w->draft->effects |= set->is_local ? EFFECT_RESET_LOCAL : EFFECT_RESET;
}

void walk_set(struct walk *w, const VariableSetStmt *set)
{
	bool reset = set->kind == VAR_RESET || set->kind == VAR_RESET_ALL;
	w->draft->kind = reset ? SQL_RESET : SQL_SET;
	draft_write(w->draft, "changes a setting");
	if (set->kind == VAR_RESET_ALL)
		w->draft->effects |= EFFECT_RESET_ALL;
	else if (set->kind == VAR_SET_MULTI)
		set_modes(w, set);
	else
		set_one(w, set);
	/* SET search_path = pg_temp makes the tables to come temporary. */
	if (words_mention_temp(w->text, w->size, w->standard_strings))
		w->draft->pins |= PIN_TEMP;
}

void walk_show(struct walk *w, const VariableShowStmt *show)
{
	w->draft->kind = SQL_SHOW;
	if (known_node_setting(show->name))
		walk_write(w, EFFECT_NODE, "shows a setting that tells of the node");
}

void walk_discard(struct walk *w, const DiscardStmt *discard)
{
	w->draft->kind = SQL_DISCARD;
	w->draft->effects |= EFFECT_UNPINS;
	if (discard->target == DISCARD_ALL)
		w->draft->effects |= EFFECT_UNPIN_ALL | EFFECT_RESET_ALL;
	draft_write(w->draft, "changes the session");
}
