/* normalize.c - the form is appended to, and cut back where a list's element repeats the last. */
/* SPDX-License-Identifier: MIT */
#include "sql/normalize.h"

#include "sql/hash.h"
#include "sql/lexer.h"

#include <stdlib.h>
#include <string.h>

#define LISTS 8 /* lists in lists that are folded; deeper ones stay as they are */

enum lead {
	NAME = 1,
	QUOTED,
	OPERATOR,
	VERBATIM,
	NATIONAL,
	LITERAL, /* any class: where a list's element begins, the class tells nothing */
	INTEGER,
	NUMBER,
	STRING,
	BITS,
	HEX,
	PARAMETER,
};

/* What a token is to the tokens after it: a character, if it is just that, or one of these. */
enum { OTHER = 0, WORDS = 256, IN, ARRAY, VALUES, QUERY, CONSTANT, FLOAT, DECIDES };

/* IN (...), ARRAY[...], VALUES (...), (...): `depth` counts the brackets around its commas. */
struct list {
	unsigned depth;
	bool rows;             /* VALUES: its elements are rows in parentheses of their own */
	size_t comma;          /* the form's size before the comma that precedes this element */
	size_t start;          /* where this element begins */
	size_t previous, size; /* the element before it; none yet: size is 0 */
};

struct seen {
	size_t start; /* in the form */
	int what;
};

struct run {
	struct form *form;
	struct lexer lexer;
	struct token token;
	bool verbatim;
	bool first;       /* the next token is a statement's first */
	bool row_ended;   /* the last token closed a row of VALUES */
	struct seen last; /* the last token of the form */
	struct seen then; /* the one before it */
	unsigned depth;
	struct list *list; /* the innermost one; NULL: none */
	struct list lists[LISTS];
};

static bool grow(struct form *f, size_t size)
{
	size_t room = f->room ? f->room * 2 : 4096;
	while (room - f->size < size)
		room *= 2;
	uint8_t *bytes = room <= NORMALIZE_FORM ? realloc(f->bytes, room) : NULL;
	if (!bytes) {
		f->complete = false;
		return false;
	}
	f->bytes = bytes;
	f->room = room;
	return true;
}

/* Begins a token that takes up to `size` bytes; NULL: there is no room. */
static inline uint8_t *begin_token(struct run *r, enum lead lead, size_t size, int what)
{
	struct form *f = r->form;
	if (f->room - f->size <= size && !grow(f, size + 1))
		return NULL;
	r->then = r->last;
	r->last = (struct seen){.start = f->size, .what = what};
	f->bytes[f->size++] = (uint8_t)lead;
	return f->bytes + f->size;
}

static void put_mark(struct run *r, enum lead lead)
{
	begin_token(r, lead, 0, OTHER);
}

static void put_operator(struct run *r)
{
	size_t size = r->token.size;
	const char *text = r->lexer.text + r->token.start;
	uint8_t *to = begin_token(r, OPERATOR, size, size == 1 ? *text : OTHER);
	if (!to)
		return;
	*to = (uint8_t)*text;
	if (size > 1)
		memcpy(to, text, size);
	r->form->size += size;
}

static void put_sized(struct run *r, enum lead lead, int what)
{
	size_t size = r->token.size;
	uint8_t *to = begin_token(r, lead, sizeof(size) + size, what);
	if (!to)
		return;
	memcpy(to, &size, sizeof(size));
	memcpy(to + sizeof(size), r->lexer.text + r->token.start, size);
	r->form->size += sizeof(size) + size;
}

struct word {
	const char *word;
	int what;
};

static int find_word(const struct word *words, size_t count, const void *name, size_t size)
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(words[i].word, name, size) == 0)
			return words[i].what;
	return OTHER;
}

/* What a name, of `size` folded bytes, is to the tokens after it. */
static int what_of(const uint8_t *name, size_t size)
{
	static const struct word four[] = {{"with", QUERY}, {"null", CONSTANT}, {"true", CONSTANT}},
	                         five[] = {{"array", ARRAY},
	                                   {"false", CONSTANT},
	                                   {"float", FLOAT},
	                                   {"merge", DECIDES},
	                                   {"table", QUERY}},
	                         six[] = {{"values", VALUES}, {"select", QUERY}};
	switch (size) {
	case 2:
		return memcmp(name, "in", 2) == 0 ? IN : OTHER;
	case 4:
		return find_word(four, 3, name, size);
	case 5:
		return find_word(five, 5, name, size);
	case 6:
		return find_word(six, 2, name, size);
	case 7:
		if (memcmp(name, "default", 7) == 0)
			return CONSTANT;
		return memcmp(name, "regproc", 7) == 0 ? DECIDES : OTHER;
	case 8:
		return memcmp(name, "regclass", 8) == 0 ? DECIDES : OTHER;
	case 10:
		return memcmp(name, "set_config", 10) == 0 ? DECIDES : OTHER;
	case 12:
		return memcmp(name, "regprocedure", 12) == 0 ? DECIDES : OTHER;
	case 15:
		return memcmp(name, "current_setting", 15) == 0 ? DECIDES : OTHER;
	default:
		return OTHER;
	}
}

/* A list's element, or a value in a row of VALUES, begins after `before`. */
static inline bool element_begins(const struct run *r, struct seen before)
{
	return r->list && r->depth == r->list->depth + r->list->rows &&
	       (before.what == '(' || before.what == ',' || before.what == '[');
}

/* `= -1`: the sign belongs to the literal. */
static bool is_signed(const struct run *r)
{
	if (r->last.what != '-' && r->last.what != '+')
		return false;
	int before = r->then.what;
	return before == '=' || before == '<' || before == '>' || element_begins(r, r->then);
}

static void put_literal(struct run *r, enum lead lead)
{
	if (r->verbatim) {
		put_sized(r, VERBATIM, OTHER);
		return;
	}
	if ((lead == INTEGER || lead == NUMBER) && is_signed(r)) {
		r->form->size = r->last.start;
		r->last = r->then;
	}
	put_mark(r, element_begins(r, r->last) ? LITERAL : lead);
}

static void open_list(struct run *r, bool rows)
{
	if (r->verbatim || r->list == &r->lists[LISTS - 1])
		return;
	r->list = r->list ? r->list + 1 : r->lists;
	*r->list = (struct list){
	        .depth = r->depth, .rows = rows, .start = r->form->size, .comma = r->form->size};
}

static void close_list(struct run *r)
{
	r->list = r->list == r->lists ? NULL : r->list - 1;
}

/* An element is complete: gone again if it says what the last one said. */
static void end_element(struct run *r)
{
	struct form *f = r->form;
	struct list *list = r->list;
	size_t size = f->size - list->start;
	if (size && size == list->size &&
	    memcmp(f->bytes + list->start, f->bytes + list->previous, size) == 0) {
		f->size = list->comma;
		return;
	}
	list->previous = list->start;
	list->size = size;
}

static void put_opening(struct run *r)
{
	int before = r->last.what;
	bool row = r->list && r->list->rows && r->list->depth == r->depth;
	bool round = r->lexer.text[r->token.start] == '(';
	put_operator(r);
	r->depth++;
	if (round && before == FLOAT) /* the grammar bounds float(n) */
		r->form->literals_decide = true;
	if (!row && before == (round ? IN : ARRAY))
		open_list(r, false);
}

static void put_closing(struct run *r)
{
	if (r->list && !r->list->rows && r->list->depth == r->depth) {
		end_element(r);
		close_list(r);
	}
	put_operator(r);
	r->depth -= r->depth > 0;
	if (r->list && r->list->rows && r->list->depth == r->depth) {
		end_element(r);
		r->row_ended = true;
	}
}

static void put_comma(struct run *r)
{
	struct list *list = r->list && r->list->depth == r->depth ? r->list : NULL;
	if (list && !list->rows)
		end_element(r);
	if (list)
		list->comma = r->form->size;
	put_operator(r);
	if (list)
		list->start = r->form->size;
}

static void put_punctuation(struct run *r)
{
	int c = r->token.size == 1 ? r->lexer.text[r->token.start] : OTHER;
	if (c == '(' || c == '[') {
		put_opening(r);
	} else if (c == ')' || c == ']') {
		put_closing(r);
	} else if (c == ',') {
		put_comma(r);
	} else {
		put_operator(r);
		r->first = c == ';';
	}
}

static void put_name(struct run *r)
{
	struct seen before = r->last;
	size_t size = r->token.size;
	const char *text = r->lexer.text + r->token.start;
	uint8_t *to = begin_token(r, NAME, size, OTHER);
	if (!to)
		return;
	for (size_t i = 0; i < size; i++)
		to[i] = (uint8_t)lexer_fold(text[i]);
	r->form->size += size;
	r->last.what = what_of(to, size);
	switch (r->last.what) {
	case DECIDES:
		r->form->literals_decide = true;
		break;
	case CONSTANT: /* NULL, TRUE ... are literals to a list */
		if (!r->verbatim && element_begins(r, before)) {
			to[-1] = LITERAL;
			r->form->size -= size;
		}
		break;
	case VALUES:
	case QUERY: /* IN (SELECT ...) and its like are no lists */
		if (r->list && !r->list->rows && r->last.start == r->list->start)
			close_list(r);
		if (r->last.what == VALUES && before.what != '.')
			open_list(r, true);
		break;
	default:
		break;
	}
}

static void put_quoted(struct run *r)
{
	put_sized(r, QUOTED, OTHER);
	const uint8_t *name = (const uint8_t *)r->lexer.text + r->token.start + 1;
	if (r->token.size > 2 && what_of(name, r->token.size - 2) == DECIDES)
		r->form->literals_decide = true;
}

static void put_token(struct run *r)
{
	static const uint8_t literals[] = {
	        [TOKEN_INTEGER] = INTEGER, [TOKEN_NUMBER] = NUMBER, [TOKEN_STRING] = STRING,
	        [TOKEN_BITS] = BITS,       [TOKEN_HEX] = HEX,       [TOKEN_PARAMETER] = PARAMETER};
	switch (r->token.kind) {
	case TOKEN_NAME:
		put_name(r);
		break;
	case TOKEN_QUOTED:
		put_quoted(r);
		break;
	case TOKEN_OPERATOR:
		put_punctuation(r);
		break;
	case TOKEN_NATIONAL:
		put_mark(r, NATIONAL);
		break;
	case TOKEN_UNICODE:
	case TOKEN_JUNK:
		r->form->odd = true;
		put_sized(r, VERBATIM, OTHER);
		break;
	default:
		put_literal(r, literals[r->token.kind]);
	}
}

/* Statements that a literal cannot make another kind of statement of. */
static void read_first(struct run *r)
{
	static const char *const words[] = {
	        "select", "insert",  "update", "delete",    "values",  "with",    "table", "begin",
	        "commit", "end",     "abort",  "rollback",  "fetch",   "execute", "call",  "notify",
	        "move",   "declare", "close",  "savepoint", "release", "listen",  NULL};
	r->first = token_is(&r->lexer, r->token, ';') || token_is(&r->lexer, r->token, '(');
	if (r->first)
		return;
	for (const char *const *word = words; *word; word++)
		if (token_is_word(&r->lexer, r->token, *word))
			return;
	r->form->literals_decide = true;
}

/* Rows of VALUES end with the first token that is neither a comma after a row nor '(' after it. */
static void end_rows(struct run *r)
{
	if (r->list->depth != r->depth)
		return;
	if (!token_is(&r->lexer, r->token, r->row_ended ? ',' : '('))
		close_list(r);
	r->row_ended = false;
}

static void read_token(struct run *r)
{
	if (r->first)
		read_first(r);
	if (r->list && r->list->rows)
		end_rows(r);
	put_token(r);
}

void normalize(struct form *form, const char *sql, size_t size, bool standard_strings,
               bool verbatim)
{
	struct run r;
	memset(&r, 0, offsetof(struct run, lists));
	r.form = form;
	r.lexer = lexer_init(sql, size, standard_strings);
	r.verbatim = verbatim;
	r.first = true;
	form->size = form->tokens = 0;
	form->odd = form->literals_decide = false;
	form->complete = size <= NORMALIZE_TEXT;
	enum token_kind last = TOKEN_END;
	while (form->complete) {
		r.token = lexer_next(&r.lexer);
		if (r.token.kind == TOKEN_END)
			break;
		/* Two strings on one line are an error, two on two lines are one. */
		form->odd |= r.token.kind == TOKEN_STRING && last == TOKEN_STRING;
		last = r.token.kind;
		read_token(&r);
		if (++form->tokens > NORMALIZE_TOKENS)
			form->complete = false;
	}
	form->odd |= r.lexer.odd;
	form->operator_cost = r.lexer.operator_cost;
}

/* The place behind the token at `at`. */
static size_t skip_token(const struct form *f, size_t at)
{
	size_t size = 0;
	uint8_t lead = f->bytes[at++];
	if (lead == QUOTED || lead == VERBATIM) {
		memcpy(&size, f->bytes + at, sizeof(size));
		return at + sizeof(size) + size;
	}
	while (at < f->size && f->bytes[at] >= 0x20)
		at++;
	return at;
}

uint64_t form_fingerprint(const struct form *f)
{
	XXH3_state_t state;
	XXH3_64bits_reset(&state);
	for (size_t at = 0, next; at < f->size; at = next) {
		uint8_t lead = f->bytes[at];
		next = skip_token(f, at);
		bool literal = lead == VERBATIM || lead >= LITERAL;
		lead = literal ? LITERAL : lead;
		XXH3_64bits_update(&state, &lead, 1);
		if (!literal)
			XXH3_64bits_update(&state, f->bytes + at + 1, next - at - 1);
	}
	return XXH3_64bits_digest(&state);
}

void form_free(struct form *form)
{
	free(form->bytes);
	*form = (struct form){0};
}
