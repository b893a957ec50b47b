/* scopes.c - see scopes.h. What is noted is a moment per key, in the table of writes.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/scopes.h"

#include "cluster/writes.h"
#include "sql/hash.h"

#include <math.h>
#include <string.h>

/* What a key stands for is part of it. */
enum kind {
	KIND_USER = 1,
	KIND_TABLE,
	KIND_ANY_TABLE,     /* of a database: some table was written */
	KIND_UNKNOWN_TABLE, /* of a database: nobody knows which */
	KIND_ANY,
	KIND_KEY,
	KIND_NO_KEY, /* a write without a key counts for all keys */
};

static uint64_t key_of(enum kind kind, const char *text)
{
	return XXH3_64bits_withSeed(text ? text : "", text ? strlen(text) : 0, kind);
}

static uint64_t mixed(enum kind kind, uint64_t a, uint64_t b)
{
	const uint64_t both[] = {a, b};
	return XXH3_64bits_withSeed(both, sizeof both, kind);
}

uint64_t scope_key(const char *text, size_t size)
{
	uint64_t key = XXH3_64bits_withSeed(text, size, KIND_KEY);
	return key ? key : 1;
}

/* Its tables are those that it names: not through functions, rules or dependencies. */
static bool names_its_tables(const struct facts *f)
{
	if (f->effects & (EFFECT_MAY_PIN | EFFECT_VOLATILE | EFFECT_DDL))
		return false;
	switch (f->kind) {
	case SQL_EMPTY:
	case SQL_SELECT:
	case SQL_VALUES:
	case SQL_INSERT:
	case SQL_UPDATE:
	case SQL_DELETE:
	case SQL_MERGE:
	case SQL_COPY:
	case SQL_EXPLAIN:
	case SQL_SHOW:
	case SQL_DECLARE:
	case SQL_BEGIN:
	case SQL_COMMIT:
	case SQL_ROLLBACK:
	case SQL_SAVEPOINT:
	case SQL_RELEASE:
	case SQL_SET:
	case SQL_RESET:
		return true;
	default:
		return false;
	}
}

static void add(struct tables *t, uint64_t key)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->keys[i] == key)
			return;
	if (t->count == TABLES_MAX)
		t->any = true;
	else
		t->keys[t->count++] = key;
}

void tables_add(struct tables *t, const struct facts *f)
{
	if (!names_its_tables(f)) {
		t->any = true;
		return;
	}
	for (size_t i = 0; i < f->table_count; i++) {
		const char *dot = strrchr(f->tables[i], '.');
		add(t, key_of(KIND_TABLE, dot ? dot + 1 : f->tables[i]));
	}
}

void tables_merge(struct tables *t, const struct tables *more)
{
	t->any |= more->any;
	for (unsigned i = 0; i < more->count; i++)
		add(t, more->keys[i]);
}

static void note_tables(struct writes *w, const struct party *who, double now)
{
	const struct tables *t = who->tables;
	uint64_t database = key_of(KIND_ANY, who->database);
	writes_note(w, mixed(KIND_ANY_TABLE, database, 0), now);
	if (!t || t->any) {
		writes_note(w, mixed(KIND_UNKNOWN_TABLE, database, 0), now);
		return;
	}
	for (unsigned i = 0; i < t->count; i++)
		writes_note(w, mixed(KIND_TABLE, database, t->keys[i]), now);
}

void scopes_note(struct writes *w, unsigned scopes, const struct party *who, double now)
{
	if (scopes & 1u << SCOPE_USER)
		writes_note(w, key_of(KIND_USER, who->user), now);
	if (scopes & 1u << SCOPE_TABLE)
		note_tables(w, who, now);
	if (scopes & 1u << SCOPE_KEY)
		writes_note(w, who->key ? who->key : key_of(KIND_NO_KEY, NULL), now);
	if (scopes & (1u << SCOPE_CLUSTER | 1u << SCOPE_KEY))
		writes_note(w, key_of(KIND_ANY, NULL), now);
}

static double last_of_tables(const struct writes *w, const struct party *who)
{
	const struct tables *t = who->tables;
	uint64_t database = key_of(KIND_ANY, who->database);
	if (!t || t->any)
		return writes_last(w, mixed(KIND_ANY_TABLE, database, 0));
	double last = writes_last(w, mixed(KIND_UNKNOWN_TABLE, database, 0));
	for (unsigned i = 0; i < t->count; i++)
		last = fmax(last, writes_last(w, mixed(KIND_TABLE, database, t->keys[i])));
	return last;
}

double scopes_last(const struct writes *w, enum scope scope, const struct party *who)
{
	switch (scope) {
	case SCOPE_USER:
		return writes_last(w, key_of(KIND_USER, who->user));
	case SCOPE_TABLE:
		return last_of_tables(w, who);
	case SCOPE_KEY:
		if (who->key)
			return fmax(writes_last(w, who->key),
			            writes_last(w, key_of(KIND_NO_KEY, NULL)));
		break; /* a read without a key is held to all writes */
	case SCOPE_CLUSTER:
	case SCOPE_SESSION:
	case SCOPES:
		break;
	}
	return writes_last(w, key_of(KIND_ANY, NULL));
}
