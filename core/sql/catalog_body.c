/* catalog_body.c - SQL by the parser; PL/pgSQL by its words.
 *
 * PL/pgSQL is not parsed, as no word of it has to be where it belongs for this: a body without any
 * word that begins a command which could write, and whose calls are all known, only reads. A column
 * that is called as such a command is taken for it. Every name may be a relation's, a type's or a
 * function's that t.f calls: these are looked up, and harmless unless listed. */
/* SPDX-License-Identifier: MIT */
#include "sql/catalog_body.h"

#include "sql/catalog_known.h"
#include "sql/facts.h"
#include "sql/lexer.h"
#include "sql/parser.h"
#include "sql/plpgsql_words.h"

#include <stdlib.h>
#include <string.h>

#define IN_DOUBT (TRAIT_WRITES | TRAIT_HIDDEN)

/* What takes less than 2 ms, see parser.h. */
#define BODY_SIZE          ((size_t)64 << 10)
#define BODY_TOKENS        5000
#define BODY_OPERATOR_COST ((uint64_t)100000)

#define NAME               64 /* bytes of a name, with its NUL; PostgreSQL cuts longer ones */
#define PARTS              4  /* database.schema.table.column */

static bool within_limits(const char *body, size_t size, bool standard_strings)
{
	struct lexer l = lexer_init(body, size, standard_strings);
	if (size > BODY_SIZE)
		return false;
	for (size_t i = 0; i < BODY_TOKENS; i++)
		if (lexer_next(&l).kind == TOKEN_END)
			return l.operator_cost <= BODY_OPERATOR_COST;
	return false;
}

static unsigned traits_of_draft(const struct draft *d)
{
	const struct known_function known = {
	        .pins = d->pins, .effects = d->effects, .reason = d->reason};
	unsigned traits = traits_of_known(&known);
	bool only_node = d->kind == SQL_SELECT &&
	                 !(d->effects & (EFFECT_LOCKING | EFFECT_INTO | EFFECT_MODIFYING_CTE));
	if (d->reason && !only_node)
		traits |= TRAIT_WRITES;
	/* What it sets stays set. */
	if (d->settings.count || d->effects & EFFECT_RESET_ALL)
		traits |= TRAIT_SESSION;
	return d->broken ? traits | IN_DOUBT : traits;
}

static unsigned traits_sql(const char *body, bool standard_strings,
                           const struct catalog_lookup *lookup)
{
	struct draft draft = {0};
	if (!within_limits(body, strlen(body), standard_strings))
		return IN_DOUBT;
	unsigned traits = IN_DOUBT;
	if (parse(&draft, lookup, body, standard_strings))
		traits = traits_of_draft(&draft);
	free(draft_finish(&draft));
	return traits;
}

/* How backslashes in strings are read is for the session that calls it. */
typedef unsigned traits_fn(const char *body, bool standard_strings,
                           const struct catalog_lookup *lookup);

static unsigned traits_of(const char *body, const struct catalog_lookup *lookup, traits_fn *fn)
{
	unsigned traits = fn(body, true, lookup);
	return strchr(body, '\\') ? traits | fn(body, false, lookup) : traits;
}

unsigned body_traits_sql(const char *body, const struct catalog_lookup *lookup)
{
	return traits_of(body, lookup, traits_sql);
}

struct scan {
	const struct catalog_lookup *lookup;
	struct lexer lexer;
	struct token token; /* the next one */
	unsigned traits;
	bool modifies; /* a word before has begun INSERT, UPDATE ... */
	bool assigns;  /* SET belongs to an UPDATE, or the like */
	bool names;    /* INTO, AS or OPEN stands before: what follows is no call */
	char parts[PARTS][NAME];
	unsigned part_count;
	bool quoted; /* the first part was */
};

static void next(struct scan *s)
{
	s->token = lexer_next(&s->lexer);
	if (s->token.kind == TOKEN_JUNK || s->token.kind == TOKEN_UNICODE)
		s->traits |= IN_DOUBT;
}

static bool at(const struct scan *s, char c)
{
	return token_is(&s->lexer, s->token, c);
}

static bool is_name(const struct scan *s)
{
	return s->token.kind == TOKEN_NAME || s->token.kind == TOKEN_QUOTED;
}

/* Takes the token over as one part of a name. */
static void take_part(struct scan *s)
{
	const char *text = s->lexer.text + s->token.start;
	bool quoted = s->token.kind == TOKEN_QUOTED;
	size_t size = s->token.size - (quoted ? 2 : 0);
	if (s->part_count == PARTS || size >= NAME || (quoted && memchr(text + 1, '"', size))) {
		s->traits |= IN_DOUBT;
		next(s);
		return;
	}
	char *part = s->parts[s->part_count++];
	for (size_t i = 0; i < size; i++)
		part[i] = quoted ? text[1 + i] : lexer_fold(text[i]);
	part[size] = '\0';
	next(s);
}

/* name, a.b, a.b.c: all of it. What follows a dot alone, as in (x).f, is a field. */
static void take_chain(struct scan *s)
{
	s->part_count = 0;
	s->quoted = s->token.kind == TOKEN_QUOTED;
	take_part(s);
	while (at(s, '.')) {
		next(s);
		if (!is_name(s))
			return; /* t.* */
		take_part(s);
	}
}

static void look(struct scan *s, enum catalog_kind kind, const char *schema, const char *name)
{
	s->traits |= catalog_look(s->lookup, kind, schema, name);
}

/* Whatever a name may be. */
static void look_all(struct scan *s, const char *schema, const char *name)
{
	look(s, CATALOG_RELATION, schema, name);
	look(s, CATALOG_TYPE, schema, name);
	if (s->modifies)
		look(s, CATALOG_WRITTEN, schema, name);
	if (known_node_relation(schema, name))
		s->traits |= TRAIT_NODE;
	if (known_temp_schema(name))
		s->traits |= IN_DOUBT;
}

/* set_config(name, value, true) ends with the transaction; of any other nobody knows. */
static bool sets_local(const struct scan *s)
{
	struct lexer l = s->lexer; /* behind the opening parenthesis */
	struct token last = {0}, t;
	for (unsigned depth = 1, left = 200; depth && left; left--, last = t) {
		t = lexer_next(&l);
		if (t.kind == TOKEN_END)
			return false;
		if (token_is(&l, t, '('))
			depth++;
		if (token_is(&l, t, ')') && --depth == 0)
			return token_is_word(&l, last, "true");
	}
	return false;
}

static void take_call(struct scan *s, const char *schema, const char *name)
{
	bool names = s->names || (!schema && !s->quoted && plpgsql_is_no_function(name));
	if (names) {
		/* Most of these words may be a function's name all the same. */
		s->traits |= catalog_look(s->lookup, CATALOG_FUNCTION, schema, name) &
		             ~(unsigned)TRAIT_UNKNOWN;
		return;
	}
	if (strcmp(name, "set_config") == 0) {
		s->traits |= TRAIT_WRITES | (sets_local(s) ? 0 : TRAIT_SESSION);
		return;
	}
	const struct known_function known = catalog_function(s->lookup, schema, name);
	s->traits |= traits_of_known(&known);
}

static bool next_is(const struct scan *s, const char *word)
{
	return token_is_word(&s->lexer, s->token, word);
}

/* SET: of a column, until the end of the transaction, or for good. */
static void take_set(struct scan *s)
{
	if (!s->assigns)
		s->traits |= TRAIT_WRITES |
		             (next_is(s, "local") || next_is(s, "transaction") ? 0 : TRAIT_SESSION);
}

/* An unquoted word that stands alone. */
static void take_word(struct scan *s, const char *word)
{
	if (strcmp(word, "set") == 0) {
		take_set(s);
		return;
	}
	/* ON CONFLICT DO */
	if (strcmp(word, "do") == 0 && (next_is(s, "update") || next_is(s, "nothing")))
		return;
	s->names = strcmp(word, "as") == 0 || strcmp(word, "open") == 0 ||
	           (s->modifies && strcmp(word, "into") == 0);
	unsigned traits = plpgsql_word_traits(word);
	s->traits |= traits;
	s->modifies |= (traits & TRAIT_WRITES) != 0;
	s->assigns |= (traits & TRAIT_WRITES) != 0;
}

static void take_name(struct scan *s, bool field)
{
	take_chain(s);
	if (!s->part_count)
		return;
	const char *name = s->parts[s->part_count - 1];
	const char *schema = s->part_count > 1 ? s->parts[s->part_count - 2] : NULL;
	bool word = s->part_count == 1 && !s->quoted && !field;
	if (at(s, '('))
		take_call(s, schema, name);
	s->names = false;
	if (word && !at(s, '('))
		take_word(s, name);
	look_all(s, NULL, s->parts[0]); /* table.column */
	for (unsigned i = 1; i < s->part_count; i++)
		look_all(s, s->parts[i - 1], s->parts[i]);
	if (schema || field)
		look(s, CATALOG_FIELD, NULL, name);
}

static void take_operator(struct scan *s)
{
	char name[NAME];
	const struct token t = s->token;
	bool dot = at(s, '.');
	if (at(s, ';'))
		s->assigns = false;
	if (t.size < sizeof(name)) {
		memcpy(name, s->lexer.text + t.start, t.size);
		name[t.size] = '\0';
		look(s, CATALOG_OPERATOR, NULL, name);
	}
	next(s);
	if (dot && is_name(s))
		take_name(s, true);
}

static unsigned traits_plpgsql(const char *body, bool standard_strings,
                               const struct catalog_lookup *lookup)
{
	size_t size = strlen(body);
	struct scan s = {.lookup = lookup, .lexer = lexer_init(body, size, standard_strings)};
	if (!within_limits(body, size, standard_strings))
		return IN_DOUBT;
	next(&s);
	while (s.token.kind != TOKEN_END) {
		if (is_name(&s))
			take_name(&s, false);
		else if (s.token.kind == TOKEN_OPERATOR)
			take_operator(&s);
		else
			next(&s);
	}
	return s.lexer.odd ? s.traits | IN_DOUBT : s.traits;
}

unsigned body_traits_plpgsql(const char *body, const struct catalog_lookup *lookup)
{
	return traits_of(body, lookup, traits_plpgsql);
}
