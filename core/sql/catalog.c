/* catalog.c - see catalog.h. */
/* SPDX-License-Identifier: MIT */
#include "sql/catalog_parts.h"

#include <stdlib.h>

#define TURN UINT64_C(0x9e3779b97f4a7c15) /* odd, without a pattern */

struct catalog *catalog_new(void)
{
	struct catalog *c = calloc(1, sizeof(*c));
	if (c)
		c->content = 1; /* that of nothing is 0 */
	return c;
}

void catalog_free(struct catalog *c)
{
	if (!c)
		return;
	catalog_names_free(&c->names);
	free(c->traits);
	free(c);
}

bool catalog_add(struct catalog *c, enum catalog_kind kind, const char *schema, const char *name,
                 unsigned traits)
{
	size_t before = c->names.count;
	if (before == c->room) {
		size_t room = c->room ? 2 * c->room : 64;
		uint8_t *grown = realloc(c->traits, room);
		if (!grown)
			return false;
		c->traits = grown;
		c->room = room;
	}
	uint32_t number = catalog_names_add(&c->names, kind, schema, name);
	if (number == CATALOG_NONE || c->names.count == before)
		return number != CATALOG_NONE;
	c->traits[number] = (uint8_t)traits;
	c->functions += kind == CATALOG_FUNCTION;
	c->asks |= (traits & TRAIT_SEQUENCE) != 0;
	/* A sum: the order in which they came is of no consequence. */
	c->content += catalog_names_hash(&c->names, number, traits);
	return true;
}

static unsigned when_missing(enum catalog_kind kind, const char *schema)
{
	if (kind == CATALOG_FUNCTION || (kind == CATALOG_OPERATOR && schema))
		return TRAIT_UNKNOWN;
	return 0;
}

static unsigned look(void *arg, enum catalog_kind kind, const char *schema, const char *name)
{
	const struct catalog *c = arg;
	if (!c)
		return when_missing(kind, schema);
	uint32_t number = catalog_names_find(&c->names, kind, schema, name);
	if (number != CATALOG_NONE)
		return c->traits[number];
	if (!schema)
		return when_missing(kind, schema);
	/* What the operator says of a name holds in any schema. */
	number = catalog_names_find(&c->names, kind, NULL, name);
	if (number != CATALOG_NONE && c->traits[number] & TRAIT_FIXED)
		return c->traits[number];
	return when_missing(kind, schema);
}

struct catalog_lookup catalog_lookup(const struct catalog *c)
{
	return (struct catalog_lookup){.look = look, .arg = (void *)(uintptr_t)c};
}

uint64_t catalog_version(const struct catalog *c)
{
	return c ? c->content + c->turn * TURN : 0;
}

void catalog_follows(struct catalog *c, const struct catalog *before, bool taught)
{
	if (before)
		c->turn = before->turn + (taught || c->content != before->content);
}

bool catalog_asks(const struct catalog *c)
{
	return c && c->asks;
}

struct catalog_size catalog_size(const struct catalog *c)
{
	if (!c)
		return (struct catalog_size){0};
	return (struct catalog_size){
	        .functions = c->functions,
	        .others = c->names.count - c->functions,
	        .bytes = sizeof(*c) + c->room + c->names.byte_room +
	                 c->names.room * sizeof(uint32_t) + (c->names.mask + 1) * sizeof(uint32_t),
	};
}
