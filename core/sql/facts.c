/* facts.c - what kinds and pins are called, and the copy that stays. */
/* SPDX-License-Identifier: MIT */
#include "sql/facts.h"

#include <stdlib.h>
#include <string.h>

const char *sql_kind_name(enum sql_kind kind)
{
	static const char *const names[SQL_KINDS] = {
	        [SQL_EMPTY] = "empty",
	        [SQL_SELECT] = "select",
	        [SQL_VALUES] = "values",
	        [SQL_INSERT] = "insert",
	        [SQL_UPDATE] = "update",
	        [SQL_DELETE] = "delete",
	        [SQL_MERGE] = "merge",
	        [SQL_COPY] = "copy",
	        [SQL_EXPLAIN] = "explain",
	        [SQL_SHOW] = "show",
	        [SQL_SET] = "set",
	        [SQL_RESET] = "reset",
	        [SQL_BEGIN] = "begin",
	        [SQL_COMMIT] = "commit",
	        [SQL_ROLLBACK] = "rollback",
	        [SQL_SAVEPOINT] = "savepoint",
	        [SQL_RELEASE] = "release",
	        [SQL_PREPARE_TRANSACTION] = "prepare_transaction",
	        [SQL_COMMIT_PREPARED] = "commit_prepared",
	        [SQL_ROLLBACK_PREPARED] = "rollback_prepared",
	        [SQL_PREPARE] = "prepare",
	        [SQL_EXECUTE] = "execute",
	        [SQL_DEALLOCATE] = "deallocate",
	        [SQL_DECLARE] = "declare",
	        [SQL_FETCH] = "fetch",
	        [SQL_CLOSE] = "close",
	        [SQL_LISTEN] = "listen",
	        [SQL_UNLISTEN] = "unlisten",
	        [SQL_NOTIFY] = "notify",
	        [SQL_LOCK] = "lock",
	        [SQL_DISCARD] = "discard",
	        [SQL_CALL] = "call",
	        [SQL_DO] = "do",
	        [SQL_LOAD] = "load",
	        [SQL_CREATE] = "create",
	        [SQL_ALTER] = "alter",
	        [SQL_DROP] = "drop",
	        [SQL_TRUNCATE] = "truncate",
	        [SQL_UTILITY] = "utility",
	        [SQL_MULTI] = "multi",
	        [SQL_UNKNOWN] = "unknown",
	};
	return names[kind];
}

const char *sql_pin_name(enum pin pin)
{
	switch (pin) {
	case PIN_TEMP:
		return "temporary_table";
	case PIN_LISTEN:
		return "listen";
	case PIN_ADVISORY_LOCK:
		return "advisory_lock";
	case PIN_CURSOR:
		return "holdable_cursor";
	case PIN_PREPARE:
		return "prepare";
	case PIN_LOAD:
		return "load";
	case PIN_SESSION:
		return "session_state";
	}
	return "session_state";
}

/* Copies the names to *list, their characters to *chars, and moves both on. */
static const char *const *place(const char *const *names, size_t count, const char ***list,
                                char **chars)
{
	const char *const *placed = *list;
	for (size_t i = 0; i < count; i++) {
		size_t size = strlen(names[i]) + 1;
		*(*list)++ = memcpy(*chars, names[i], size);
		*chars += size;
	}
	return placed;
}

static size_t bytes_of(const char *const *names, size_t count)
{
	size_t bytes = 0;
	for (size_t i = 0; i < count; i++)
		bytes += strlen(names[i]) + 1;
	return bytes;
}

bool facts_may_write(const struct facts *facts)
{
	if (facts->intent == INTENT_READ)
		return false;
	switch (facts->kind) {
	case SQL_SELECT:
	case SQL_VALUES:
	case SQL_SHOW:
		return !(facts->effects & (EFFECT_NODE | EFFECT_LOCKING)) ||
		       facts->effects & (EFFECT_VOLATILE | EFFECT_MODIFYING_CTE | EFFECT_INTO);
	case SQL_SET:
	case SQL_RESET:
	case SQL_BEGIN:
	case SQL_COMMIT:
	case SQL_ROLLBACK:
	case SQL_SAVEPOINT:
	case SQL_RELEASE:
	case SQL_PREPARE:
	case SQL_DEALLOCATE:
	case SQL_DECLARE:
	case SQL_CLOSE:
	case SQL_LISTEN:
	case SQL_UNLISTEN:
	case SQL_DISCARD:
		return false;
	default:
		return true;
	}
}

bool facts_writes_surely(const struct facts *facts)
{
	unsigned doubtful = EFFECT_VOLATILE | EFFECT_MAY_PIN;
	if (!facts_may_write(facts) || facts->kind == SQL_UNKNOWN)
		return false;
	if (facts->kind != SQL_SELECT && facts->kind != SQL_VALUES)
		return true;
	return facts->effects & (EFFECT_MODIFYING_CTE | EFFECT_INTO) ||
	       (facts->effects & doubtful) == EFFECT_VOLATILE;
}

bool facts_forget_prepared(const struct facts *facts)
{
	return facts->effects & EFFECT_UNPIN_ALL || (facts->kind == SQL_DEALLOCATE && !facts->name);
}

unsigned facts_pins_with_settings(const struct facts *facts)
{
	/* DISCARD ALL leaves the session as it was made. */
	bool resets = (facts->effects & (EFFECT_RESET_ALL | EFFECT_UNPIN_ALL)) == EFFECT_RESET_ALL;
	return facts->pins | (facts->setting_count || resets ? PIN_SESSION : 0);
}

struct facts *facts_copy(const struct facts *facts)
{
	size_t lists = (facts->table_count + facts->function_count + facts->setting_count) *
	               sizeof(char *);
	size_t name = facts->name ? strlen(facts->name) + 1 : 0;
	struct facts *copy =
	        malloc(sizeof(*copy) + lists + name + bytes_of(facts->tables, facts->table_count) +
	               bytes_of(facts->functions, facts->function_count) +
	               bytes_of(facts->settings, facts->setting_count));
	if (!copy)
		return NULL;
	*copy = *facts;
	const char **names = (const char **)(void *)(copy + 1);
	char *chars = (char *)(copy + 1) + lists;
	copy->tables = place(facts->tables, facts->table_count, &names, &chars);
	copy->functions = place(facts->functions, facts->function_count, &names, &chars);
	copy->settings = place(facts->settings, facts->setting_count, &names, &chars);
	if (name)
		copy->name = memcpy(chars, facts->name, name);
	return copy;
}
