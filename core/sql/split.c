/* split.c - the rules by which psql finds the end of a statement (its psqlscan.l). */
/* SPDX-License-Identifier: MIT */
#include "sql/split.h"

#include "sql/lexer.h"

#define WORDS 4 /* CREATE OR REPLACE FUNCTION */

struct split {
	struct lexer lexer;
	struct token token;
	struct token words[WORDS]; /* the statement's first ones */
	unsigned word_count, parentheses, begins;
	bool empty; /* no token yet */
};

static bool word(const struct split *s, unsigned number, const char *name)
{
	return number < s->word_count && token_is_word(&s->lexer, s->words[number], name);
}

static bool creates_routine(const struct split *s)
{
	unsigned kind = word(s, 1, "or") && word(s, 2, "replace") ? 3 : 1;
	return word(s, 0, "create") && (word(s, kind, "function") || word(s, kind, "procedure"));
}

/* BEGIN ATOMIC ... END, and CASE ... END inside of it. */
static void read_word(struct split *s)
{
	if (s->word_count < WORDS)
		s->words[s->word_count++] = s->token;
	if (!creates_routine(s) || s->parentheses)
		return;
	bool opens = token_is_word(&s->lexer, s->token, "begin") ||
	             (s->begins && token_is_word(&s->lexer, s->token, "case"));
	if (opens)
		s->begins++;
	else if (s->begins && token_is_word(&s->lexer, s->token, "end"))
		s->begins--;
}

/* True at the semicolon that ends the statement, and at the end of the text. */
static bool read_token(struct split *s)
{
	s->token = lexer_next(&s->lexer);
	if (s->token.kind == TOKEN_END)
		return true;
	if (token_is(&s->lexer, s->token, ';') && !s->parentheses && !s->begins)
		return true;
	s->empty = false;
	if (s->token.kind == TOKEN_NAME)
		read_word(s);
	else if (token_is(&s->lexer, s->token, '('))
		s->parentheses++;
	else if (token_is(&s->lexer, s->token, ')') && s->parentheses)
		s->parentheses--;
	return false;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

size_t sql_split(const char *text, size_t size, bool standard_strings, size_t *start,
                 size_t *length)
{
	struct split s = {.empty = true};
	size_t from = 0, to;
	do {
		s = (struct split){.lexer = lexer_init(text, size, standard_strings),
		                   .empty = true};
		s.lexer.at = from;
		while (!read_token(&s))
			continue;
		to = s.token.start;
		if (!s.empty)
			break;
		from = s.lexer.at;
	} while (s.token.kind != TOKEN_END);
	if (s.empty)
		return 0;
	while (is_space(text[from]))
		from++;
	while (is_space(text[to - 1]))
		to--;
	*start = from;
	*length = to - from;
	return s.lexer.at;
}
