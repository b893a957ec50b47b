/* habit.c - see habit.h. */
/* SPDX-License-Identifier: MIT */
#include "script/habit.h"

#include "cluster/prepared.h"

#include <string.h>

bool habit_is_plannable(enum sql_kind kind)
{
	return kind == SQL_SELECT || kind == SQL_INSERT || kind == SQL_UPDATE ||
	       kind == SQL_DELETE || kind == SQL_MERGE;
}

/* Notes one more run. True: it has run often enough before. */
static bool is_frequent(struct habit *habit, uint64_t hash)
{
	unsigned slot = hash & (HABIT_SLOTS - 1);
	if (habit->slots[slot].hash != hash) {
		habit->slots[slot].hash = hash;
		habit->slots[slot].times = 0;
	}
	if (habit->slots[slot].times >= habit->threshold)
		return true;
	habit->slots[slot].times++;
	return false;
}

void habit_prepare(struct habit *habit, struct exec_query *q, enum sql_kind kind)
{
	if (habit->threshold == 0 || q->prepared || q->flow || !habit_is_plannable(kind))
		return;
	uint64_t hash = prepared_hash(q->sql, strlen(q->sql));
	if (!is_frequent(habit, hash))
		return;
	q->prepared = hash;
	if (q->count < 0)
		q->count = 0;
}
