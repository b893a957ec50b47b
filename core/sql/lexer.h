/* lexer.h - PostgreSQL's lexical rules (its scan.l of version 15), in one linear pass.
 *
 * Token boundaries are those of PostgreSQL's own scanner; nothing at or beyond text[size] is read.
 * White space and comments are passed over. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_LEXER_H
#define MOONGATE_SQL_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum token_kind {
	TOKEN_END,
	TOKEN_NAME,     /* a keyword or name, not quoted */
	TOKEN_QUOTED,   /* "name" */
	TOKEN_INTEGER,  /* fits 32 bits, as the grammar tells them apart */
	TOKEN_NUMBER,   /* any other number */
	TOKEN_STRING,   /* 'x', E'x', $$x$$; pieces continued on further lines are one string */
	TOKEN_BITS,     /* B'0' */
	TOKEN_HEX,      /* X'0' */
	TOKEN_NATIONAL, /* the N of N'x': the string follows */
	TOKEN_UNICODE,  /* U&'x' or U&"x": what it means may hang on a UESCAPE that follows */
	TOKEN_PARAMETER,
	TOKEN_OPERATOR, /* punctuation too: its text tells which */
	TOKEN_JUNK,     /* what PostgreSQL's scanner refuses */
};

struct token {
	enum token_kind kind;
	size_t start, size;
};

struct lexer {
	const char *text;
	size_t size, at;
	bool standard_strings;
	bool odd; /* a token so far was junk, unterminated, or had an escape that may be invalid */
	/* A token's or comment's start inside a run of operator characters costs PostgreSQL's
	 * scanner the rest of the run: it matches all of it, then gives most of it back. */
	uint64_t operator_cost;
	size_t run_end;
};

/* A comment that lexer_next() passed over: text[start .. start + size), without its delimiters. */
typedef void lexer_comment_fn(const char *text, size_t size, void *arg);

static inline struct lexer lexer_init(const char *text, size_t size, bool standard_strings)
{
	return (struct lexer){.text = text, .size = size, .standard_strings = standard_strings};
}

struct token lexer_next(struct lexer *l);

/* The same; `fn` is told of the comments before the token. */
struct token lexer_next_commented(struct lexer *l, lexer_comment_fn *fn, void *arg);

/* The token is this one character. */
static inline bool token_is(const struct lexer *l, struct token t, char c)
{
	return t.kind == TOKEN_OPERATOR && t.size == 1 && l->text[t.start] == c;
}

/* The token is this unquoted word, given in lower case. */
bool token_is_word(const struct lexer *l, struct token t, const char *word);

/* The token is this name, given in lower case: unquoted in any case, or quoted as it stands. */
bool token_is_name(const struct lexer *l, struct token t, const char *name);

/* ASCII only, as PostgreSQL folds names in UTF-8. */
static inline char lexer_fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

#endif
