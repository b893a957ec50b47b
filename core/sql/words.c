/* words.c - one pass over the tokens, and one more over those inside of strings. */
/* SPDX-License-Identifier: MIT */
#include "sql/words.h"

#include "sql/known.h"
#include "sql/lexer.h"

#include <string.h>

#define DEEPEST      3      /* strings in strings in strings */
#define MOST         200000 /* tokens that are looked at */
#define LONGEST      ((size_t)4 << 20)
#define LONGEST_NAME 64

struct scan {
	struct draft *draft;
	struct lexer lexer;
	struct token token;
	bool strings;
	unsigned depth, left; /* tokens that may still be looked at */
	bool sets_columns;    /* this statement is an UPDATE, ALTER ..., whose SET is no command */
	bool set;             /* the word before was a SET that may be a command */
	bool first;           /* of its statement */
};

static void scan_tokens(struct scan *s);

/* Without quotes or dollar quotes. */
static struct token inside(const struct lexer *l, struct token t)
{
	const char *text = l->text + t.start;
	size_t before = 1;
	while (before < t.size && text[before - 1] != '\'' && text[before - 1] != '"' &&
	       (text[before - 1] != '$' || before == 1))
		before++;
	size_t after = text[before - 1] == '$' ? before : 1;
	t.start += before;
	t.size = t.size > before + after ? t.size - before - after : 0;
	return t;
}

static bool mentions_temp(const struct lexer *l, struct token t)
{
	if (t.kind == TOKEN_NAME)
		return t.size >= 7 && strncasecmp(l->text + t.start, "pg_temp", 7) == 0;
	if (t.kind != TOKEN_STRING && t.kind != TOKEN_QUOTED && t.kind != TOKEN_UNICODE)
		return false;
	return memmem(l->text + t.start, t.size, "pg_temp", 7);
}

/* Functions that are known to pin. */
static unsigned function_pins(const struct lexer *l, struct token t)
{
	char name[LONGEST_NAME];
	if (t.kind == TOKEN_QUOTED)
		t = inside(l, t);
	else if (t.kind != TOKEN_NAME)
		return 0;
	if (t.size < 7 || t.size >= sizeof(name))
		return 0;
	for (size_t i = 0; i < t.size; i++)
		name[i] = lexer_fold(l->text[t.start + i]);
	name[t.size] = '\0';
	return known_function_pins(name);
}

struct word {
	const char *word;
	unsigned pins, effects;
	bool first_only, sets_columns;
};

/* What SET does here is for nobody to say: it may stand in a loop, or name what was put together.
 */
static const struct word words[] = {
        {.word = "temp", .pins = PIN_TEMP},
        {.word = "temporary", .pins = PIN_TEMP},
        {.word = "hold", .pins = PIN_CURSOR},
        {.word = "set_config", .pins = PIN_SESSION},
        {.word = "listen", .pins = PIN_LISTEN, .first_only = true},
        {.word = "load", .pins = PIN_LOAD, .first_only = true},
        {.word = "prepare", .pins = PIN_PREPARE, .first_only = true},
        {.word = "reset", .pins = PIN_SESSION, .first_only = true},
        {.word = "create", .effects = EFFECT_DDL, .sets_columns = true},
        {.word = "alter", .effects = EFFECT_DDL, .sets_columns = true},
        {.word = "drop", .effects = EFFECT_DDL},
        {.word = "update", .sets_columns = true},
        {.word = "merge", .sets_columns = true},
};

static void read_word(struct scan *s)
{
	s->set = !s->sets_columns && token_is_word(&s->lexer, s->token, "set");
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const struct word *w = &words[i];
		if ((w->first_only && !s->first) || !token_is_word(&s->lexer, s->token, w->word))
			continue;
		s->draft->pins |= w->pins;
		s->draft->effects |= w->effects;
		s->sets_columns |= w->sets_columns;
	}
	/* Words that a statement of a PL/pgSQL body may follow. */
	s->first = token_is_word(&s->lexer, s->token, "begin") ||
	           token_is_word(&s->lexer, s->token, "then") ||
	           token_is_word(&s->lexer, s->token, "else") ||
	           token_is_word(&s->lexer, s->token, "loop");
}

static void read_string(struct scan *s)
{
	struct token t = inside(&s->lexer, s->token);
	if (s->depth == DEEPEST)
		return;
	struct scan inner = {
	        .draft = s->draft,
	        .lexer = lexer_init(s->lexer.text + t.start, t.size, s->lexer.standard_strings),
	        .strings = true,
	        .depth = s->depth + 1,
	        .left = s->left,
	        .first = true};
	scan_tokens(&inner);
	s->left = inner.left;
}

static void read_token(struct scan *s)
{
	if (s->set && !token_is_word(&s->lexer, s->token, "local") &&
	    !token_is_word(&s->lexer, s->token, "transaction"))
		s->draft->pins |= PIN_SESSION;
	s->set = false;
	if (mentions_temp(&s->lexer, s->token))
		s->draft->pins |= PIN_TEMP;
	s->draft->pins |= function_pins(&s->lexer, s->token);
	if (s->token.kind == TOKEN_NAME) {
		read_word(s);
		return;
	}
	s->first = token_is(&s->lexer, s->token, ';');
	if (s->first)
		s->sets_columns = false;
	if (s->strings && s->token.kind == TOKEN_STRING)
		read_string(s);
}

static void scan_tokens(struct scan *s)
{
	for (; s->left; s->left--) {
		s->token = lexer_next(&s->lexer);
		if (s->token.kind == TOKEN_END)
			return;
		read_token(s);
	}
}

void words_of_program(struct draft *d, const char *text, size_t size, bool standard_strings,
                      bool strings)
{
	struct scan s = {.draft = d,
	                 .lexer = lexer_init(text, size, standard_strings),
	                 .strings = strings,
	                 .left = size <= LONGEST ? MOST : 0,
	                 .first = true};
	scan_tokens(&s);
	if (!s.left)
		d->pins |= PIN_SESSION;
}

bool words_mention_temp(const char *text, size_t size, bool standard_strings)
{
	struct lexer l = lexer_init(text, size, standard_strings);
	for (unsigned left = MOST; left; left--) {
		struct token t = lexer_next(&l);
		if (t.kind == TOKEN_END)
			return false;
		if (mentions_temp(&l, t))
			return true;
	}
	return true;
}
