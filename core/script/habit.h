/* habit.h - which statements an application runs again and again: those are worth preparing.
 *
 * A small table by the hash of the text, one statement to a slot: where two fall into one, the one
 * that is new takes it over, and the other is counted anew. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_HABIT_H
#define MOONGATE_SCRIPT_HABIT_H

#include "cluster/exec.h"
#include "sql/facts.h"

#define HABIT_SLOTS 512 /* a power of two */

/* Zero is "nothing seen yet", with a threshold of 0. */
struct habit {
	unsigned threshold; /* a statement is prepared after so many runs; 0: never */
	struct {
		uint64_t hash;
		unsigned times;
	} slots[HABIT_SLOTS];
};

/* One statement that has a plan; all others are planned anew each time, or not at all. */
bool habit_is_plannable(enum sql_kind kind);

/* The query is about to run: says in it that it is to be prepared, where that is so. */
void habit_prepare(struct habit *habit, struct exec_query *query, enum sql_kind kind);

#endif
