/* statement.c - see statement.h. */
/* SPDX-License-Identifier: MIT */
#include "router/statement.h"

#include "sql/hash.h"

#include <stdlib.h>
#include <string.h>

struct statement_key statement_key(const struct statement_table *table, const uint8_t *body,
                                   size_t size, uint64_t parse_key, bool standard_strings)
{
	XXH128_hash_t hash =
	        XXH3_128bits_withSecret(body, size, table->secret, sizeof table->secret);
	return (struct statement_key){{hash.low64 ^ parse_key ^ !standard_strings, hash.high64}};
}

struct statement *statement_known(const struct statement_table *table, struct statement_key key)
{
	struct statement *s = NULL;
	HASH_FIND(hh, table->all, &key, sizeof key, s);
	return s;
}

struct statement *statement_of(struct statement_table *table, struct statement_key key,
                               const uint8_t *body, size_t size, bool standard_strings)
{
	struct statement *s = statement_known(table, key);
	if (s)
		return statement_ref(s);
	s = calloc(1, sizeof *s + size);
	if (!s)
		return NULL;
	s->table = table;
	s->refs = 1;
	s->standard_strings = standard_strings;
	s->size = size;
	s->key = key;
	memcpy(s->body, body, size);
	s->sql_size = strlen(s->body);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): uthash */
	HASH_ADD(hh, table->all, key, sizeof s->key, s);
	return s;
}

struct statement *statement_ref(struct statement *s)
{
	s->refs++;
	return s;
}

void statement_unref(struct statement *s)
{
	if (!s || --s->refs > 0)
		return;
	HASH_DEL(s->table->all, s);
	free(s->facts);
	free(s);
}

const struct facts *statement_facts(struct statement *s, const struct catalog *catalog)
{
	struct classifier *classifier = s->table->classifier;
	uint64_t epoch = classifier_epoch(classifier), version = catalog_version(catalog);
	if (s->facts && s->epoch == epoch && s->catalog == version)
		return s->facts;
	const struct facts *facts =
	        classifier_facts(classifier, catalog, s->body, s->sql_size, s->standard_strings);
	free(s->facts);
	s->facts = facts_copy(facts);
	s->epoch = epoch;
	s->catalog = version;
	return s->facts ? s->facts : facts;
}

static struct prepared_name *find(struct prepared_name *names, const char *name)
{
	struct prepared_name *found = NULL;
	HASH_FIND_STR(names, name, found);
	return found;
}

struct statement *names_find(struct prepared_name *names, const char *name)
{
	struct prepared_name *found = names ? find(names, name) : NULL;
	return found ? found->statement : NULL;
}

static void forget(struct prepared_name **names, struct prepared_name *each)
{
	HASH_DEL(*names, each); /* NOLINT(clang-analyzer-unix.Malloc): uthash */
	statement_unref(each->statement);
	free(each);
}

enum status names_set(struct prepared_name **names, const char *name, struct statement *statement)
{
	struct prepared_name *known = find(*names, name);
	if (statement)
		statement_ref(statement);
	if (known)
		forget(names, known);
	if (!statement)
		return ST_OK;
	struct prepared_name *made = calloc(1, sizeof *made + strlen(name) + 1);
	if (!made) {
		statement_unref(statement);
		return ST_ENOMEM;
	}
	made->statement = statement;
	strcpy(made->name, name); /* NOLINT: the room was made above */
	HASH_ADD_STR(*names, name, made);
	return ST_OK;
}

void names_clear(struct prepared_name **names)
{
	struct prepared_name *each, *next;
	HASH_ITER (hh, *names, each, next)
		forget(names, each);
}
