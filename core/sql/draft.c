/* draft.c - names are kept once; the block that comes out holds all that its facts point to. */
/* SPDX-License-Identifier: MIT */
#include "sql/draft.h"

#include "sql/hash.h"
#include "sql/lexer.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS (2 * DRAFT_NAMES)

static char *joined(const char *schema, const char *name)
{
	size_t before = schema ? strlen(schema) + 1 : 0, size = strlen(name) + 1;
	char *item = malloc(before + size);
	if (!item)
		return NULL;
	if (schema) {
		memcpy(item, schema, before - 1);
		item[before - 1] = '.';
	}
	memcpy(item + before, name, size);
	return item;
}

static bool make_room(struct names *n)
{
	if (!n->slots)
		n->slots = calloc(SLOTS, sizeof(*n->slots));
	if ((n->count & (n->count - 1)) == 0) { /* full at 0, 1, 2, 4, 8 ... */
		size_t room = n->count ? n->count * 2 : 1;
		char **items = realloc(n->items, room * sizeof(*items));
		if (!items)
			return false;
		n->items = items;
	}
	return n->slots;
}

/* Takes `item`. Names are few: chosen by the statement, they cannot make this slow, as there are
 * DRAFT_NAMES at most. */
static bool keep(struct names *n, char *item)
{
	if (!item || n->count == DRAFT_NAMES || !make_room(n)) {
		free(item);
		return false;
	}
	size_t size = strlen(item) + 1, at = XXH3_64bits(item, size) % SLOTS;
	for (; n->slots[at]; at = (at + 1) % SLOTS) {
		if (strcmp(n->items[n->slots[at] - 1], item) == 0) {
			free(item);
			return true;
		}
	}
	n->items[n->count++] = item;
	n->slots[at] = (uint32_t)n->count;
	n->bytes += size;
	return true;
}

void draft_table(struct draft *d, const char *schema, const char *name)
{
	d->broken |= !keep(&d->tables, joined(schema, name));
}

void draft_function(struct draft *d, const char *schema, const char *name)
{
	d->broken |= !keep(&d->functions, joined(schema, name));
}

void draft_setting(struct draft *d, const char *name)
{
	char *folded = strdup(name);
	for (char *at = folded; at && *at; at++)
		*at = lexer_fold(*at);
	d->broken |= !keep(&d->settings, folded);
}

void draft_name(struct draft *d, const char *name)
{
	free(d->name);
	d->name = strdup(name);
	d->broken |= !d->name;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_free(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->items[i]);
	free(n->items);
	free(n->slots);
	*n = (struct names){0};
}

static const char *const *sorted(struct names *n)
{
	if (n->count)
		qsort(n->items, n->count, sizeof(*n->items), compare);
	return (const char *const *)n->items;
}

struct facts *draft_finish(struct draft *d)
{
	if (d->broken) {
		d->kind = SQL_UNKNOWN;
		d->reason = "too many names";
		d->statements = 0;
		d->pins |= PIN_SESSION;
		d->effects |= EFFECTS_OF_HIDDEN_CODE;
	}
	/* What holds for one statement. */
	if (d->statements != 1)
		d->effects &= ~(unsigned)EFFECT_LAZY;
	struct facts facts = {.intent = d->reason ? INTENT_WRITE : INTENT_READ,
	                      .kind = d->kind,
	                      .pins = d->pins,
	                      .effects = d->effects,
	                      .statements = d->statements,
	                      .fingerprint = d->fingerprint,
	                      .tables = sorted(&d->tables),
	                      .table_count = d->tables.count,
	                      .functions = sorted(&d->functions),
	                      .function_count = d->functions.count,
	                      .settings = sorted(&d->settings),
	                      .setting_count = d->settings.count,
	                      .name = d->statements == 1 ? d->name : NULL,
	                      .reason = d->reason};
	struct facts *block = facts_copy(&facts);
	names_free(&d->tables);
	names_free(&d->functions);
	names_free(&d->settings);
	free(d->name);
	*d = (struct draft){0};
	return block;
}
