/* own_sql.c - see own_sql.h. */
/* SPDX-License-Identifier: MIT */
#include "router/own_sql.h"

#include "sql/lexer.h"

#include <string.h>

static struct token next(struct lexer *l)
{
	return lexer_next(l);
}

static bool ends(const struct lexer *l, struct token t)
{
	return t.kind == TOKEN_END || token_is(l, t, ';');
}

static void keep(char *to, size_t room, const struct lexer *l, size_t from, size_t size, bool fold)
{
	size_t n = 0;
	for (size_t i = 0; i < size && n < room - 1; i++)
		to[n++] = fold ? lexer_fold(l->text[from + i]) : l->text[from + i];
	to[n] = '\0';
}

/* moongate . x, as the next tokens; `t` is the first of them. */
static bool is_prefix(struct lexer *l, struct token t)
{
	return token_is_name(l, t, "moongate") && token_is(l, next(l), '.');
}

static bool read_name(struct lexer *l, struct own_statement *s)
{
	struct token t = next(l);
	bool quoted = t.kind == TOKEN_QUOTED;
	if (t.kind != TOKEN_NAME && !quoted)
		return false;
	keep(s->name, sizeof s->name, l, t.start + quoted, t.size - 2 * quoted, true);
	return true;
}

/* The text of 'x' or E'x'; doubled quotes and backslashes stay as they are: no value has any. */
static void keep_string(struct own_statement *s, const struct lexer *l, struct token t)
{
	const char *text = l->text + t.start;
	const char *quote = memchr(text, '\'', t.size);
	s->wrong = !quote || text[t.size - 1] != '\'' || t.size < 2;
	if (s->wrong)
		return;
	size_t from = (size_t)(quote - l->text) + 1;
	s->wrong = t.start + t.size - 1 < from;
	if (!s->wrong)
		keep(s->value, sizeof s->value, l, from, t.start + t.size - 1 - from, false);
}

static void read_value(struct lexer *l, struct own_statement *s)
{
	struct token t = next(l);
	if (token_is_word(l, t, "default"))
		s->to_default = true;
	else if (t.kind == TOKEN_STRING)
		keep_string(s, l, t);
	else if (t.kind == TOKEN_NAME)
		keep(s->value, sizeof s->value, l, t.start, t.size, true);
	else if (t.kind == TOKEN_QUOTED)
		keep(s->value, sizeof s->value, l, t.start + 1, t.size - 2, false);
	else if (t.kind == TOKEN_INTEGER || t.kind == TOKEN_NUMBER)
		keep(s->value, sizeof s->value, l, t.start, t.size, false);
	else
		s->wrong = true;
}

static bool read_verb(struct lexer *l, struct token *t, enum own_verb *verb)
{
	do
		*t = next(l);
	while (token_is(l, *t, ';'));
	if (token_is_word(l, *t, "set"))
		*verb = OWN_SET;
	else if (token_is_word(l, *t, "reset"))
		*verb = OWN_RESET;
	else if (token_is_word(l, *t, "show"))
		*verb = OWN_SHOW;
	else
		return false;
	*t = next(l);
	bool local = token_is_word(l, *t, "local");
	if (*verb != OWN_SET || !(local || token_is_word(l, *t, "session")))
		return true;
	*verb = local ? OWN_SET_LOCAL : OWN_SET;
	*t = next(l);
	return true;
}

bool own_sql_read(const char *sql, size_t size, bool standard_strings, struct own_statement *s)
{
	struct lexer l = lexer_init(sql, size, standard_strings);
	struct token t;
	*s = (struct own_statement){0};
	if (!read_verb(&l, &t, &s->verb) || !is_prefix(&l, t))
		return false;
	s->wrong = !read_name(&l, s);
	if (!s->wrong && (s->verb == OWN_SET || s->verb == OWN_SET_LOCAL)) {
		t = next(&l);
		s->wrong = !token_is(&l, t, '=') && !token_is_word(&l, t, "to");
		if (!s->wrong)
			read_value(&l, s);
	}
	s->wrong = s->wrong || !ends(&l, next(&l));
	return true;
}

bool own_sql_mentions(const char *sql, size_t size, bool standard_strings)
{
	struct lexer l = lexer_init(sql, size, standard_strings);
	bool verb = false;
	if (!memmem(sql, size, OWN_PREFIX, sizeof OWN_PREFIX - 1))
		return false;
	for (struct token t = next(&l); t.kind != TOKEN_END; t = next(&l)) {
		if (verb && is_prefix(&l, t))
			return true;
		verb = token_is_word(&l, t, "set") || token_is_word(&l, t, "local") ||
		       token_is_word(&l, t, "session") || token_is_word(&l, t, "reset") ||
		       token_is_word(&l, t, "show");
	}
	return false;
}

bool own_sql_names(const void *names, size_t size)
{
	const char *at = names, *end = at + size;
	for (; at < end; at += strlen(at) + 1)
		if (strncmp(at, OWN_PREFIX, sizeof OWN_PREFIX - 1) == 0)
			return true;
	return false;
}
