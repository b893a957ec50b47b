/* catalog_names.c - a key is its kind, whether there is a schema, schema and name, each with a NUL.
 */
/* SPDX-License-Identifier: MIT */
#include "sql/catalog_names.h"

#include "sql/hash.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST  ((size_t)512) /* bytes of a key: PostgreSQL's names have 63 each */
#define MOST     ((size_t)1 << 30)
#define OVERHEAD 2 /* bytes ahead of the schema */

struct key {
	size_t size; /* 0: too long */
	char bytes[LONGEST];
};

static void make_key(struct key *key, enum catalog_kind kind, const char *schema, const char *name)
{
	size_t schema_size = strlen(schema ? schema : "") + 1, name_size = strlen(name) + 1;
	key->size = 0;
	if (OVERHEAD + schema_size + name_size > LONGEST)
		return;
	key->bytes[0] = (char)kind;
	key->bytes[1] = schema != NULL;
	memcpy(key->bytes + OVERHEAD, schema ? schema : "", schema_size);
	memcpy(key->bytes + OVERHEAD + schema_size, name, name_size);
	key->size = OVERHEAD + schema_size + name_size;
}

static size_t start_of(const struct catalog_names *n, uint32_t number)
{
	return number ? n->ends[number - 1] : 0;
}

/* The slot that leads to the key, or would. */
static uint32_t *find(const struct catalog_names *n, const char *bytes, size_t size)
{
	for (size_t at = XXH3_64bits(bytes, size);; at++) {
		uint32_t *slot = &n->slots[at & n->mask];
		if (!*slot)
			return slot;
		size_t start = start_of(n, *slot - 1);
		if (n->ends[*slot - 1] - start == size &&
		    memcmp(n->bytes + start, bytes, size) == 0)
			return slot;
	}
}

uint32_t catalog_names_find(const struct catalog_names *n, enum catalog_kind kind,
                            const char *schema, const char *name)
{
	struct key key;
	make_key(&key, kind, schema, name);
	if (!n->count || !key.size)
		return CATALOG_NONE;
	return *find(n, key.bytes, key.size) - 1;
}

/* Twice the slots, each name in its place. */
static bool spread(struct catalog_names *n)
{
	size_t room = n->slots ? 2 * (n->mask + 1) : 64;
	uint32_t *slots = calloc(room, sizeof(*slots));
	if (!slots)
		return false;
	free(n->slots);
	n->slots = slots;
	n->mask = room - 1;
	for (uint32_t i = 0; i < n->count; i++) {
		size_t start = start_of(n, i);
		*find(n, n->bytes + start, n->ends[i] - start) = i + 1;
	}
	return true;
}

static bool make_room(struct catalog_names *n, size_t size)
{
	if (n->byte_room - n->byte_count < size) {
		size_t room = n->byte_room ? 2 * n->byte_room : 4096;
		char *bytes = room <= MOST ? realloc(n->bytes, room) : NULL;
		if (!bytes)
			return false;
		n->bytes = bytes;
		n->byte_room = room;
	}
	if (n->count == n->room) {
		size_t room = n->room ? 2 * n->room : 64;
		uint32_t *ends = realloc(n->ends, room * sizeof(*ends));
		if (!ends)
			return false;
		n->ends = ends;
		n->room = room;
	}
	return (n->slots && n->count < (n->mask + 1) / 2) || spread(n);
}

uint32_t catalog_names_add(struct catalog_names *n, enum catalog_kind kind, const char *schema,
                           const char *name)
{
	struct key key;
	make_key(&key, kind, schema, name);
	if (!key.size || !make_room(n, key.size))
		return CATALOG_NONE;
	uint32_t *slot = find(n, key.bytes, key.size);
	if (*slot)
		return *slot - 1;
	memcpy(n->bytes + n->byte_count, key.bytes, key.size);
	n->byte_count += key.size;
	n->ends[n->count++] = (uint32_t)n->byte_count;
	*slot = (uint32_t)n->count;
	return *slot - 1;
}

enum catalog_kind catalog_names_kind(const struct catalog_names *n, uint32_t number)
{
	return (enum catalog_kind)n->bytes[start_of(n, number)];
}

const char *catalog_names_schema(const struct catalog_names *n, uint32_t number)
{
	const char *key = n->bytes + start_of(n, number);
	return key[1] ? key + OVERHEAD : NULL;
}

const char *catalog_names_name(const struct catalog_names *n, uint32_t number)
{
	const char *schema = n->bytes + start_of(n, number) + OVERHEAD;
	return schema + strlen(schema) + 1;
}

uint64_t catalog_names_hash(const struct catalog_names *n, uint32_t number, uint64_t seed)
{
	size_t start = start_of(n, number);
	return XXH3_64bits_withSeed(n->bytes + start, n->ends[number] - start, seed);
}

void catalog_names_free(struct catalog_names *n)
{
	free(n->bytes);
	free(n->ends);
	free(n->slots);
	*n = (struct catalog_names){0};
}
