/* catalog_builder.c - a graph: who calls what. Edges point from what is called to its callers, as
 * traits go that way.
 *
 *   schema.name ──▶ name      a name without a schema may mean any of them
 *   function    ──▶ t.f, views, defaults, other functions ... */
/* SPDX-License-Identifier: MIT */
#include "sql/catalog_builder.h"

#include "sql/catalog_body.h"
#include "sql/catalog_known.h"
#include "sql/catalog_parts.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK 512 /* entries looked at in one step */

struct entry {
	uint8_t traits;
	bool defined;     /* it is there, not only called */
	bool waiting;     /* on the stack */
	uint32_t callers; /* its first edge + 1; 0: none */
};

struct edge {
	uint32_t caller, next; /* the next edge from the same entry, + 1 */
};

struct body {
	uint32_t entry;
	char language;
	const char *text;
};

enum phase { READ_BODIES, SETTLE, SPREAD, COPY, DONE };

struct catalog_builder {
	const struct catalog_overrides *overrides;
	struct catalog_names names;
	struct entry *entries; /* by the number of their name */
	struct edge *edges;
	struct body *bodies;
	uint32_t *stack; /* entries whose callers are to hear of them; room for all */
	size_t entry_room, edge_count, edge_room, body_count, body_room, stack_count, rows;
	enum phase phase;
	size_t at;        /* in this phase */
	uint32_t reading; /* the entry whose body is being read */
	struct catalog *catalog;
	bool failed;
};

/* Room for one more of `size` bytes each. */
static bool grow(void *array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return true;
	size_t more = *room ? *room * 2 : 256;
	void *grown = realloc(*(void **)array, more * size);
	if (!grown)
		return false;
	*(void **)array = grown;
	*room = more;
	return true;
}

/* The entry of a name, made where there is none. CATALOG_NONE: out of memory. */
static uint32_t place(struct catalog_builder *b, enum catalog_kind kind, const char *schema,
                      const char *name)
{
	size_t before = b->names.count;
	if (!grow(&b->entries, before, &b->entry_room, sizeof(*b->entries)))
		return CATALOG_NONE;
	uint32_t number = catalog_names_add(&b->names, kind, schema, name);
	if (number != CATALOG_NONE && b->names.count > before)
		b->entries[number] = (struct entry){0};
	return number;
}

static bool connect(struct catalog_builder *b, uint32_t caller, uint32_t called)
{
	if (caller == CATALOG_NONE || called == CATALOG_NONE ||
	    !grow(&b->edges, b->edge_count, &b->edge_room, sizeof(*b->edges)))
		return false;
	struct entry *e = &b->entries[called];
	b->edges[b->edge_count++] = (struct edge){.caller = caller, .next = e->callers};
	e->callers = (uint32_t)b->edge_count;
	return true;
}

/* The same for one that is there; then a name without a schema may mean it. */
static uint32_t define(struct catalog_builder *b, enum catalog_kind kind, const char *schema,
                       const char *name)
{
	uint32_t number = place(b, kind, schema, name);
	if (number == CATALOG_NONE || b->entries[number].defined)
		return number;
	b->entries[number].defined = true;
	uint32_t bare = place(b, kind, NULL, name);
	if (!connect(b, bare, number))
		return CATALOG_NONE;
	b->entries[bare].defined = true;
	return number;
}

static bool add_body(struct catalog_builder *b, uint32_t entry, char language, const char *text)
{
	if (!grow(&b->bodies, b->body_count, &b->body_room, sizeof(*b->bodies)))
		return false;
	b->bodies[b->body_count++] =
	        (struct body){.entry = entry, .language = language, .text = text};
	return true;
}

/* Functions of extensions that come in C and are VOLATILE, because they say something else each
 * time, not because they would write. */
static bool is_harmless(const char *name)
{
	static const char *const names[] = {
	        "gen_random_bytes",   "gen_salt",         "uuid_generate_v1",
	        "uuid_generate_v1mc", "uuid_generate_v4", "pgp_sym_encrypt",
	        "pgp_pub_encrypt",    "normal_rand",      "pgp_sym_encrypt_bytea"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static bool has(const char *flags, char flag)
{
	return flags && strchr(flags, flag);
}

/* A function, or one more of its overloads. IMMUTABLE and STABLE ones are taken at their word. */
static bool add_function(struct catalog_builder *b, uint32_t number, const struct catalog_row *row)
{
	if (has(row->flags, 'U') && !connect(b, place(b, CATALOG_FIELD, NULL, row->name), number))
		return false;
	if (!has(row->flags, 'v') || has(row->flags, 'A'))
		return true;
	bool sql = has(row->flags, 'S');
	if (row->body && (sql || has(row->flags, 'P')))
		return add_body(b, number, sql ? 'S' : 'P', row->body);
	if (!has(row->flags, 'C') || !is_harmless(row->name))
		b->entries[number].traits |= TRAIT_WRITES | TRAIT_HIDDEN;
	return true;
}

static bool add_object(struct catalog_builder *b, enum catalog_kind kind, uint32_t number,
                       const struct catalog_row *row)
{
	struct entry *e = &b->entries[number];
	/* One of PostgreSQL's is called so, and meant: `=` of everything would be a write. */
	if (has(row->flags, 'B'))
		b->entries[place(b, kind, NULL, row->name)].traits = TRAIT_FIXED;
	e->traits |= (has(row->flags, 'W') ? TRAIT_WRITES : 0) |
	             (has(row->flags, 'H') ? TRAIT_HIDDEN : 0) |
	             (has(row->flags, 'N') ? TRAIT_NODE : 0);
	/* A second row may say no more than that. */
	bool whole = kind == CATALOG_FUNCTION &&
	             (has(row->flags, 'v') || has(row->flags, 's') || has(row->flags, 'i'));
	return !whole || add_function(b, number, row);
}

/* A domain's checks are what a cast to it calls. */
static uint32_t define_called(struct catalog_builder *b, enum catalog_kind kind, const char *schema,
                              const char *name)
{
	uint32_t number = place(b, kind, schema, name);
	if (number == CATALOG_NONE || kind != CATALOG_DOMAIN || b->entries[number].defined)
		return number;
	b->entries[number].defined = true;
	uint32_t type = define(b, CATALOG_TYPE, schema, name);
	return connect(b, type, number) ? number : CATALOG_NONE;
}

static bool add_call(struct catalog_builder *b, enum catalog_kind kind, uint32_t caller,
                     enum catalog_kind called_kind, const struct catalog_row *row)
{
	const char *schema = row->called_schema, *name = row->called_name;
	if (!connect(b, caller, define_called(b, called_kind, schema, name)))
		return false;
	if (called_kind != CATALOG_RELATION)
		return true;
	/* What is written to a view is written to what it reads; a rule may write to what it
	 * names. */
	uint32_t written = place(b, CATALOG_WRITTEN, schema, name);
	if (kind == CATALOG_RELATION)
		return connect(b, define(b, CATALOG_WRITTEN, row->schema, row->name), written);
	return kind != CATALOG_WRITTEN || connect(b, caller, written);
}

/* CATALOG_KINDS: no such kind. */
static enum catalog_kind kind_of(char letter)
{
	switch (letter) {
	case 'f':
		return CATALOG_FUNCTION;
	case 'r':
		return CATALOG_RELATION;
	case 'w':
		return CATALOG_WRITTEN;
	case 'o':
		return CATALOG_OPERATOR;
	case 't':
		return CATALOG_TYPE;
	case 'd':
		return CATALOG_DOMAIN;
	default:
		return CATALOG_KINDS;
	}
}

bool catalog_builder_add(struct catalog_builder *b, const struct catalog_row *row)
{
	enum catalog_kind kind = kind_of(row->kind), called = kind_of(row->called_kind);
	if (++b->rows > CATALOG_ROWS)
		return false;
	if (kind == CATALOG_KINDS || (row->called_kind && called == CATALOG_KINDS))
		return true;
	uint32_t number = kind == CATALOG_DOMAIN ? define_called(b, kind, row->schema, row->name)
	                                         : define(b, kind, row->schema, row->name);
	if (number == CATALOG_NONE)
		return false;
	return row->called_kind ? add_call(b, kind, number, called, row)
	                        : add_object(b, kind, number, row);
}

/* A body is being read: what it calls is noted, and harmless until more is known. */
static unsigned look(void *arg, enum catalog_kind kind, const char *schema, const char *name)
{
	struct catalog_builder *b = arg;
	uint32_t number = catalog_names_find(&b->names, kind, schema, name);
	if (number == CATALOG_NONE || !b->entries[number].defined)
		return kind == CATALOG_FUNCTION || (kind == CATALOG_OPERATOR && schema)
		               ? TRAIT_UNKNOWN
		               : 0;
	b->failed |= !connect(b, b->reading, number);
	return 0;
}

static void read_body(struct catalog_builder *b, const struct body *body)
{
	const struct catalog_lookup lookup = {.look = look, .arg = b};
	b->reading = body->entry;
	unsigned traits = body->language == 'S' ? body_traits_sql(body->text, &lookup)
	                                        : body_traits_plpgsql(body->text, &lookup);
	b->entries[body->entry].traits |= (uint8_t)traits;
}

static void override(struct catalog_builder *b, const char *text, bool reads)
{
	const char *dot = strchr(text, '.');
	char schema[256];
	if (dot && (size_t)(dot - text) >= sizeof(schema))
		return;
	memcpy(schema, text, dot ? (size_t)(dot - text) : 0);
	schema[dot ? dot - text : 0] = '\0';
	uint32_t number = place(b, CATALOG_FUNCTION, dot ? schema : NULL, dot ? dot + 1 : text);
	b->failed |= number == CATALOG_NONE;
	if (number == CATALOG_NONE)
		return;
	struct entry *e = &b->entries[number];
	if (reads)
		e->traits = TRAIT_FIXED;
	else
		e->traits |= TRAIT_WRITES | (e->defined ? 0 : TRAIT_HIDDEN);
	e->defined = true;
}

static void override_all(struct catalog_builder *b)
{
	const struct catalog_overrides *o = b->overrides;
	for (size_t i = 0; o && i < o->read_count; i++)
		override(b, o->reads[i], true);
	for (size_t i = 0; o && i < o->write_count; i++)
		override(b, o->writes[i], false);
}

/* What is called and was not listed is PostgreSQL's own. */
static unsigned traits_of_own(enum catalog_kind kind, const char *schema, const char *name)
{
	if (kind == CATALOG_RELATION)
		return known_node_relation(schema, name) ? TRAIT_NODE : 0;
	if (kind != CATALOG_FUNCTION)
		return 0;
	const struct known_function known = known_function(schema, name);
	/* Its arguments would tell more. */
	unsigned session = strcmp(name, "set_config") == 0 ? TRAIT_SESSION : 0;
	return traits_of_known(&known) | session;
}

static void settle(struct catalog_builder *b, uint32_t number)
{
	struct entry *e = &b->entries[number];
	enum catalog_kind kind = catalog_names_kind(&b->names, number);
	const char *schema = catalog_names_schema(&b->names, number);
	const char *name = catalog_names_name(&b->names, number);
	if (!e->defined && schema)
		e->traits |= (uint8_t)traits_of_own(kind, schema, name);
	if (kind != CATALOG_FUNCTION || !schema || e->traits & TRAIT_FIXED)
		return;
	/* What is said of the name alone holds in any schema. */
	uint32_t bare = catalog_names_find(&b->names, kind, NULL, name);
	unsigned said = bare == CATALOG_NONE ? 0 : b->entries[bare].traits;
	if (said & TRAIT_FIXED)
		e->traits = TRAIT_FIXED;
	else
		e->traits |= (uint8_t)said & TRAIT_WRITES;
}

static void push(struct catalog_builder *b, uint32_t number)
{
	struct entry *e = &b->entries[number];
	if (e->waiting || !(e->traits & ~(unsigned)TRAIT_FIXED))
		return;
	e->waiting = true;
	b->stack[b->stack_count++] = number;
}

/* Tells its callers. */
static void spread(struct catalog_builder *b)
{
	struct entry *called = &b->entries[b->stack[--b->stack_count]];
	unsigned traits = called->traits & ~(unsigned)TRAIT_FIXED;
	called->waiting = false;
	for (uint32_t at = called->callers; at; at = b->edges[at - 1].next) {
		struct entry *e = &b->entries[b->edges[at - 1].caller];
		if (e->traits & TRAIT_FIXED || (e->traits & traits) == traits)
			continue;
		e->traits |= (uint8_t)traits;
		push(b, b->edges[at - 1].caller);
	}
}

/* What would be taken for harmless anyway is left out. */
static void copy(struct catalog_builder *b, uint32_t number)
{
	const struct entry *e = &b->entries[number];
	enum catalog_kind kind = catalog_names_kind(&b->names, number);
	const char *schema = catalog_names_schema(&b->names, number);
	bool listed = kind == CATALOG_FUNCTION || (kind == CATALOG_OPERATOR && schema);
	if (!e->defined && kind != CATALOG_FIELD)
		return;
	if (kind == CATALOG_DOMAIN || (!listed && !(e->traits & ~(unsigned)TRAIT_FIXED)))
		return;
	b->failed |= !catalog_add(b->catalog, kind, schema, catalog_names_name(&b->names, number),
	                          e->traits);
}

static void begin(struct catalog_builder *b, enum phase phase)
{
	b->phase = phase;
	b->at = 0;
	if (phase == SETTLE)
		override_all(b);
	if (phase == SPREAD) {
		b->stack = malloc((b->names.count + 1) * sizeof(*b->stack));
		b->failed |= !b->stack;
	}
	if (phase == COPY) {
		b->catalog = catalog_new();
		b->failed |= !b->catalog;
	}
}

static void settle_some(struct catalog_builder *b)
{
	for (int i = 0; i < CHUNK && b->at < b->names.count; i++)
		settle(b, (uint32_t)b->at++);
	if (b->at == b->names.count)
		begin(b, SPREAD);
}

static void spread_some(struct catalog_builder *b)
{
	for (int i = 0; i < CHUNK && (b->stack_count || b->at < b->names.count); i++) {
		if (b->stack_count)
			spread(b);
		else
			push(b, (uint32_t)b->at++);
	}
	if (!b->stack_count && b->at == b->names.count)
		begin(b, COPY);
}

static void copy_some(struct catalog_builder *b)
{
	for (int i = 0; i < CHUNK && b->at < b->names.count; i++)
		copy(b, (uint32_t)b->at++);
	if (b->at == b->names.count)
		begin(b, DONE);
}

bool catalog_builder_step(struct catalog_builder *b)
{
	if (b->failed)
		return false;
	switch (b->phase) {
	case READ_BODIES:
		if (b->at < b->body_count)
			read_body(b, &b->bodies[b->at++]);
		else
			begin(b, SETTLE);
		break;
	case SETTLE:
		settle_some(b);
		break;
	case SPREAD:
		spread_some(b);
		break;
	case COPY:
		copy_some(b);
		break;
	case DONE:
		break;
	}
	return b->phase != DONE && !b->failed;
}

struct catalog *catalog_builder_finish(struct catalog_builder *b)
{
	struct catalog *catalog = b->failed ? NULL : b->catalog;
	if (catalog)
		b->catalog = NULL;
	return catalog;
}

struct catalog_builder *catalog_builder_new(const struct catalog_overrides *overrides)
{
	struct catalog_builder *b = calloc(1, sizeof(*b));
	if (b)
		b->overrides = overrides;
	return b;
}

void catalog_builder_free(struct catalog_builder *b)
{
	if (!b)
		return;
	catalog_names_free(&b->names);
	catalog_free(b->catalog);
	free(b->entries);
	free(b->edges);
	free(b->bodies);
	free(b->stack);
	free(b);
}

struct catalog *catalog_of_overrides(const struct catalog_overrides *overrides)
{
	struct catalog_builder *b = catalog_builder_new(overrides);
	while (b && catalog_builder_step(b))
		continue;
	struct catalog *catalog = b ? catalog_builder_finish(b) : NULL;
	catalog_builder_free(b);
	return catalog;
}
