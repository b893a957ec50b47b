/* parse_session.c - transaction control, settings, DISCARD. */
/* SPDX-License-Identifier: MIT */
#include "sql/parse_session.h"

#include "sql/known.h"
#include "sql/words.h"

#include <string.h>
#include <strings.h>

/* The modes of BEGIN, START TRANSACTION, SET TRANSACTION. */
static unsigned mode_effects(const List *modes)
{
	unsigned effects = 0;
	for (int i = 0; i < list_length(modes); i++) {
		const DefElem *mode = list_nth(modes, i);
		if (strcmp(mode->defname, "transaction_read_only") == 0) {
			const A_Const *constant = (const A_Const *)mode->arg;
			bool read_only = IsA(constant, A_Const) && constant->val.ival.ival != 0;
			effects |= read_only ? EFFECT_READ_ONLY : EFFECT_READ_WRITE;
		} else if (strcmp(mode->defname, "transaction_isolation") == 0) {
			const char *level = walk_string(mode->arg);
			if (!level || strcmp(level, "serializable") == 0)
				effects |= EFFECT_SERIALIZABLE;
		}
	}
	return effects;
}

static void begin(struct walk *w, const TransactionStmt *transaction)
{
	unsigned modes = mode_effects(transaction->options);
	w->draft->kind = SQL_BEGIN;
	w->draft->effects |= EFFECT_BEGIN | modes;
	if (!(modes & EFFECT_READ_ONLY) || (modes & EFFECT_READ_WRITE))
		draft_write(w->draft, "opens a block that may write");
	else if (modes & EFFECT_SERIALIZABLE)
		draft_write(w->draft, "opens a serializable block, which a standby refuses");
}

static const struct transaction_kind {
	enum sql_kind kind;
	bool ends;
} transaction_kinds[] = {
        [TRANS_STMT_COMMIT] = {SQL_COMMIT, true},
        [TRANS_STMT_ROLLBACK] = {SQL_ROLLBACK, true},
        [TRANS_STMT_SAVEPOINT] = {SQL_SAVEPOINT, false},
        [TRANS_STMT_RELEASE] = {SQL_RELEASE, false},
        [TRANS_STMT_ROLLBACK_TO] = {SQL_ROLLBACK, false},
        [TRANS_STMT_PREPARE] = {SQL_PREPARE_TRANSACTION, true},
        [TRANS_STMT_COMMIT_PREPARED] = {SQL_COMMIT_PREPARED, false},
        [TRANS_STMT_ROLLBACK_PREPARED] = {SQL_ROLLBACK_PREPARED, false},
};

void walk_transaction(struct walk *w, const TransactionStmt *transaction)
{
	if (transaction->kind == TRANS_STMT_BEGIN || transaction->kind == TRANS_STMT_START) {
		begin(w, transaction);
		return;
	}
	const struct transaction_kind *kind = &transaction_kinds[transaction->kind];
	w->draft->kind = kind->kind;
	if (kind->ends)
		w->draft->effects |= EFFECT_END;
	if (transaction->chain)
		w->draft->effects |= EFFECT_BEGIN;
	draft_write(w->draft, "controls a transaction");
}

static bool is_off(const char *value)
{
	return strcasecmp(value, "off") == 0 || strcasecmp(value, "false") == 0 ||
	       strcasecmp(value, "no") == 0 || strcmp(value, "0") == 0;
}

/* SET transaction_read_only = on and the like say the same as SET TRANSACTION. Returns false for
 * settings that outlive the transaction. */
static bool set_transaction(struct walk *w, const VariableSetStmt *set)
{
	if (!set->name)
		return false;
	if (set->kind == VAR_SET_MULTI) {
		if (strncmp(set->name, "TRANSACTION", 11) != 0)
			return false;
		/* SET TRANSACTION SNAPSHOT has a string instead of modes. */
		if (strcmp(set->name, "TRANSACTION") == 0)
			w->draft->effects |= mode_effects(set->args);
		return true;
	}
	const char *value = set->args ? walk_string(linitial(set->args)) : NULL;
	if (strcasecmp(set->name, "transaction_read_only") == 0)
		w->draft->effects |= value && is_off(value) ? EFFECT_READ_WRITE : EFFECT_READ_ONLY;
	else if (strcasecmp(set->name, "transaction_isolation") != 0)
		return false;
	else if (!value || strcasecmp(value, "serializable") == 0)
		w->draft->effects |= EFFECT_SERIALIZABLE;
	return true;
}

void walk_set(struct walk *w, const VariableSetStmt *set)
{
	bool reset = set->kind == VAR_RESET || set->kind == VAR_RESET_ALL;
	w->draft->kind = reset ? SQL_RESET : SQL_SET;
	draft_write(w->draft, "changes a setting");
	if (!set_transaction(w, set) && !set->is_local)
		w->draft->pins |= PIN_SETTINGS;
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
	if (discard->target == DISCARD_ALL)
		w->draft->effects |= EFFECT_UNPIN_ALL;
	draft_write(w->draft, "changes the session");
}
