/* parse_session.h - commands that are about the session or its transaction. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_PARSE_SESSION_H
#define MOONGATE_SQL_PARSE_SESSION_H

#include "sql/parse_tree.h"

/* BEGIN, COMMIT, SAVEPOINT ... */
void walk_transaction(struct walk *w, const TransactionStmt *transaction);

/* SET and RESET */
void walk_set(struct walk *w, const VariableSetStmt *set);

/* What SET, or set_config(), does with the setting `name`, in any case: the session's value may be
 * another afterwards, unless it is `local` or such that it ends with the transaction anyway. */
void walk_setting(struct walk *w, const char *name, bool local);

void walk_show(struct walk *w, const VariableShowStmt *show);

/* DISCARD */
void walk_discard(struct walk *w, const DiscardStmt *discard);

#endif
