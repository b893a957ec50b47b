/* lexer.c - `at` stands at the first byte not yet looked at by a token; it only moves forward. */
/* SPDX-License-Identifier: MIT */
#include "sql/lexer.h"

#include <string.h>

#define LONGEST_RUN 64 /* no operator has 64 characters (NAMEDATALEN) */

enum {
	SPACE = 1,
	DIGIT = 2,
	START = 4, /* of a name; also of a dollar quote's tag */
	OPCHAR = 8,
	SELF = 16,   /* a token by itself, if not part of an operator */
	DOLLAR = 32, /* may go on a name, not a dollar quote's tag */
	CONT = DIGIT | START,
};

#define LETTERS_4(c)  [c] = START, [c + 1] = START, [c + 2] = START, [c + 3] = START
#define LETTERS_16(c) LETTERS_4(c), LETTERS_4(c + 4), LETTERS_4(c + 8), LETTERS_4(c + 12)

static const uint8_t classes[256] = {
        [' '] = SPACE,    ['\t'] = SPACE,   ['\n'] = SPACE,   ['\r'] = SPACE,   ['\f'] = SPACE,
        ['0'] = DIGIT,    ['1'] = DIGIT,    ['2'] = DIGIT,    ['3'] = DIGIT,    ['4'] = DIGIT,
        ['5'] = DIGIT,    ['6'] = DIGIT,    ['7'] = DIGIT,    ['8'] = DIGIT,    ['9'] = DIGIT,
        ['_'] = START,    LETTERS_16('a'),  LETTERS_4('q'),   LETTERS_4('u'),   ['y'] = START,
        ['z'] = START,    LETTERS_16('A'),  LETTERS_4('Q'),   LETTERS_4('U'),   ['Y'] = START,
        ['Z'] = START,    LETTERS_16(0x80), LETTERS_16(0x90), LETTERS_16(0xa0), LETTERS_16(0xb0),
        LETTERS_16(0xc0), LETTERS_16(0xd0), LETTERS_16(0xe0), LETTERS_16(0xf0), ['~'] = OPCHAR,
        ['!'] = OPCHAR,   ['@'] = OPCHAR,   ['#'] = OPCHAR,   ['^'] = OPCHAR,   ['&'] = OPCHAR,
        ['|'] = OPCHAR,   ['`'] = OPCHAR,   ['?'] = OPCHAR,   ['+'] = OPCHAR,   ['-'] = OPCHAR,
        ['*'] = OPCHAR,   ['/'] = OPCHAR,   ['%'] = OPCHAR,   ['<'] = OPCHAR,   ['>'] = OPCHAR,
        ['='] = OPCHAR,   ['$'] = DOLLAR,   [','] = SELF,     ['('] = SELF,     [')'] = SELF,
        ['['] = SELF,     [']'] = SELF,     ['.'] = SELF,     [';'] = SELF,     [':'] = SELF,
};

/* '\0' beyond the end, which no rule accepts. */
static inline char peek(const struct lexer *l, size_t at)
{
	return at < l->size ? l->text[at] : '\0';
}

static inline bool is(const struct lexer *l, size_t at, int class)
{
	return classes[(uint8_t)peek(l, at)] & class;
}

static inline size_t skip(const struct lexer *l, size_t at, int class)
{
	const char *text = l->text;
	size_t size = l->size;
	while (at < size && (classes[(uint8_t)text[at]] & class))
		at++;
	return at;
}

/* Behind the next `c`; the end of the text, and odd, where there is none. */
static size_t find(struct lexer *l, size_t at, char c)
{
	const char *hit = at < l->size ? memchr(l->text + at, c, l->size - at) : NULL;
	if (hit)
		return (size_t)(hit - l->text) + 1;
	l->odd = true;
	return l->size;
}

static size_t line_end(const struct lexer *l, size_t at)
{
	while (at < l->size && l->text[at] != '\n' && l->text[at] != '\r')
		at++;
	return at;
}

static void count_run(struct lexer *l, size_t at)
{
	if (at >= l->run_end)
		l->run_end = skip(l, at, OPCHAR);
	l->operator_cost += l->run_end - at;
}

/* Block comments nest. `at` is behind the first two characters. */
static size_t comment_end(struct lexer *l, size_t at)
{
	for (size_t depth = 1; at < l->size;) {
		char c = l->text[at], next = peek(l, at + 1);
		if (c == '/' && next == '*') {
			count_run(l, at);
			depth++;
			at += 2;
		} else if (c == '*' && next == '/') {
			at += 2;
			if (--depth == 0)
				return at;
		} else {
			at++;
		}
	}
	l->odd = true;
	return l->size;
}

/* Comments, and the white space before, between and after them. */
static size_t skip_comments(struct lexer *l, size_t at, lexer_comment_fn *fn, void *arg)
{
	for (;;) {
		at = skip(l, at, SPACE);
		char c = peek(l, at), next = peek(l, at + 1);
		size_t start = at + 2, end;
		if (c == '-' && next == '-') {
			end = at = line_end(l, start);
		} else if (c == '/' && next == '*') {
			count_run(l, at);
			at = comment_end(l, start);
			end = at >= start + 2 && memcmp(l->text + at - 2, "*/", 2) == 0 ? at - 2
			                                                                : at;
		} else {
			return at;
		}
		if (fn)
			fn(l->text + start, end - start, arg);
	}
}

/* A string goes on in the next quote if only white space with a newline in it, and `--` comments,
 * part the two. Returns the place behind that quote, or 0. */
static size_t continuation(const struct lexer *l, size_t at)
{
	bool newline = false;
	for (;;) {
		for (; is(l, at, SPACE); at++)
			newline |= l->text[at] == '\n' || l->text[at] == '\r';
		if (peek(l, at) == '\'')
			return newline ? at + 1 : 0;
		if (peek(l, at) != '-' || peek(l, at + 1) != '-')
			return 0;
		at = line_end(l, at);
	}
}

/* Behind the quote that ends this piece; escapes by number may be invalid, hence odd. */
static size_t escaped_end(struct lexer *l, size_t at)
{
	while (at < l->size) {
		char c = l->text[at++];
		if (c == '\'')
			return at;
		if (c != '\\' || at == l->size)
			continue;
		c = l->text[at++];
		l->odd |= (c >= '0' && c <= '7') || c == 'x' || c == 'u' || c == 'U';
	}
	l->odd = true;
	return at;
}

/* `at` is behind the opening quote. A doubled quote is two pieces without a gap, to us. */
static size_t string_end(struct lexer *l, size_t at, bool escapes)
{
	for (;;) {
		at = escapes ? escaped_end(l, at) : find(l, at, '\'');
		if (l->odd && at == l->size)
			return at;
		size_t next = peek(l, at) == '\'' ? at + 1 : continuation(l, at);
		if (!next)
			return at;
		at = next;
	}
}

static size_t quoted_end(struct lexer *l, size_t at)
{
	size_t start = at;
	do
		at = find(l, at, '"');
	while (peek(l, at) == '"' && ++at);
	l->odd |= at == start + 1; /* zero-length */
	return at;
}

/* `at` stands on a '$' that no name precedes. */
static struct token dollar(struct lexer *l, size_t at)
{
	struct token t = {TOKEN_JUNK, at, 1};
	if (is(l, at + 1, DIGIT)) {
		t.kind = TOKEN_PARAMETER;
		t.size = skip(l, at + 1, DIGIT) - at;
		l->odd |= is(l, at + t.size, START);
		return t;
	}
	size_t tag = is(l, at + 1, START) ? skip(l, at + 1, CONT) : at + 1;
	if (peek(l, tag) != '$') {
		l->odd = true;
		return t;
	}
	size_t delimiter = ++tag - at;
	const char *end = memmem(l->text + tag, l->size - tag, l->text + at, delimiter);
	t.kind = TOKEN_STRING;
	l->odd |= !end;
	t.size = (end ? (size_t)(end - l->text) + delimiter : l->size) - at;
	return t;
}

static bool fits_32_bits(const char *digits, size_t size)
{
	while (size && *digits == '0')
		digits++, size--;
	return size < 10 || (size == 10 && memcmp(digits, "2147483647", 10) <= 0);
}

static struct token number(struct lexer *l, size_t start)
{
	size_t at = skip(l, start, DIGIT);
	enum token_kind kind = TOKEN_INTEGER;
	if (peek(l, at) == '.' && (at == start || peek(l, at + 1) != '.')) {
		kind = TOKEN_NUMBER;
		at = skip(l, at + 1, DIGIT);
	}
	if (lexer_fold(peek(l, at)) == 'e') {
		size_t digits = at + 1 + (peek(l, at + 1) == '-' || peek(l, at + 1) == '+');
		if (is(l, digits, DIGIT)) {
			kind = TOKEN_NUMBER;
			at = skip(l, digits, DIGIT);
		}
	}
	l->odd |= is(l, at, START); /* "trailing junk after numeric literal" */
	if (kind == TOKEN_INTEGER && !fits_32_bits(l->text + start, at - start))
		kind = TOKEN_NUMBER;
	return (struct token){kind, start, at - start};
}

/* Where a comment starts within text[start .. end), or `end`. */
static size_t comment_within(const struct lexer *l, size_t start, size_t end)
{
	for (size_t at = start; at + 1 < end; at++)
		if ((l->text[at] == '/' && l->text[at + 1] == '*') ||
		    (l->text[at] == '-' && l->text[at + 1] == '-'))
			return at;
	return end;
}

/* An operator may end in + or - only if it also has one of these. */
static bool may_end_in_sign(const char *op, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (strchr("~!@#^&|`?%", op[i]))
			return true;
	return false;
}

static struct token operator(struct lexer *l, size_t start)
{
	count_run(l, start);
	size_t run = l->run_end - start;
	size_t end = comment_within(l, start, l->run_end);
	if (run > LONGEST_RUN) {
		/* Taken as one, or this were quadratic too. */
		l->operator_cost += (uint64_t)run * run;
		l->odd = true;
		return (struct token){TOKEN_JUNK, start, end - start};
	}
	size_t size = end - start;
	if (size > 1 && !may_end_in_sign(l->text + start, size))
		while (size > 1 &&
		       (l->text[start + size - 1] == '+' || l->text[start + size - 1] == '-'))
			size--;
	return (struct token){TOKEN_OPERATOR, start, size};
}

static struct token punctuation(const struct lexer *l, size_t at)
{
	char c = l->text[at], next = peek(l, at + 1);
	bool two = (c == ':' && (next == ':' || next == '=')) || (c == '.' && next == '.');
	return (struct token){TOKEN_OPERATOR, at, two ? 2 : 1};
}

/* What begins with a letter and a quote: e'x' b'0' x'0' n'x' u&'x' u&"x". False: it is a name. */
static bool prefixed(struct lexer *l, size_t at, struct token *t)
{
	char c = lexer_fold(l->text[at]), third = peek(l, at + 2);
	if (peek(l, at + 1) == '&')
		c = c == 'u' && (third == '\'' || third == '"') ? third : '\0';
	switch (c) {
	case '"':
		*t = (struct token){TOKEN_UNICODE, at, quoted_end(l, at + 3) - at};
		return true;
	case '\'':
		*t = (struct token){TOKEN_UNICODE, at, string_end(l, at + 3, false) - at};
		return true;
	case 'e':
		*t = (struct token){TOKEN_STRING, at, string_end(l, at + 2, true) - at};
		return true;
	case 'b':
	case 'x':
		*t = (struct token){c == 'b' ? TOKEN_BITS : TOKEN_HEX, at,
		                    string_end(l, at + 2, false) - at};
		return true;
	case 'n':
		*t = (struct token){TOKEN_NATIONAL, at, 1};
		return true;
	default:
		return false;
	}
}

static inline struct token name(struct lexer *l, size_t at)
{
	struct token t;
	char next = peek(l, at + 1);
	if ((next == '\'' || next == '&') && prefixed(l, at, &t))
		return t;
	return (struct token){TOKEN_NAME, at, skip(l, at + 1, CONT | DOLLAR) - at};
}

static struct token junk(struct lexer *l, size_t at)
{
	l->odd = true;
	return (struct token){TOKEN_JUNK, at, 1};
}

static struct token rare_token(struct lexer *l, size_t at)
{
	char c = l->text[at];
	if (c == '\'')
		return (struct token){TOKEN_STRING, at,
		                      string_end(l, at + 1, !l->standard_strings) - at};
	if (c == '"')
		return (struct token){TOKEN_QUOTED, at, quoted_end(l, at + 1) - at};
	return c == '$' ? dollar(l, at) : junk(l, at);
}

static inline struct token token_at(struct lexer *l, size_t at)
{
	if (at >= l->size)
		return (struct token){TOKEN_END, at, 0};
	switch (classes[(uint8_t)l->text[at]]) {
	case START:
		return name(l, at);
	case DIGIT:
		return number(l, at);
	case OPCHAR:
		return operator(l, at);
	case SELF:
		return l->text[at] == '.' && is(l, at + 1, DIGIT) ? number(l, at)
		                                                  : punctuation(l, at);
	default:
		return rare_token(l, at);
	}
}

struct token lexer_next_commented(struct lexer *l, lexer_comment_fn *fn, void *arg)
{
	size_t at = skip(l, l->at, SPACE);
	char c = peek(l, at);
	if (c == '-' || c == '/')
		at = skip_comments(l, at, fn, arg);
	struct token t = token_at(l, at);
	l->at = t.start + t.size;
	return t;
}

struct token lexer_next(struct lexer *l)
{
	return lexer_next_commented(l, NULL, NULL);
}

bool token_is_word(const struct lexer *l, struct token t, const char *word)
{
	if (t.kind != TOKEN_NAME)
		return false;
	for (size_t i = 0; i < t.size; i++)
		if (lexer_fold(l->text[t.start + i]) != word[i])
			return false;
	return word[t.size] == '\0';
}

bool token_is_name(const struct lexer *l, struct token t, const char *name)
{
	if (t.kind != TOKEN_QUOTED)
		return token_is_word(l, t, name);
	return t.size == strlen(name) + 2 && memcmp(l->text + t.start + 1, name, t.size - 2) == 0;
}
