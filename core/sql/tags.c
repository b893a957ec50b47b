/* tags.c - comments as the lexer finds them, then pairs; a pair that is none is passed over. */
/* SPDX-License-Identifier: MIT */
#include "sql/tags.h"

#include "sql/lexer.h"

#include <string.h>

#define LONGEST 1024               /* a longer key or value is no tag */
#define TEXT    ((size_t)16 << 20) /* a longer statement has no tags */

struct text {
	char bytes[LONGEST];
	size_t size;
	bool overflow;
};

struct reader {
	const char *at, *end;
	bool own;      /* moongate's form, not sqlcommenter's */
	bool only_own; /* the other form is passed over */
	sql_tag_fn *fn;
	void *arg;
};

static void put(struct text *t, char c)
{
	t->overflow |= t->size == sizeof(t->bytes);
	if (!t->overflow)
		t->bytes[t->size++] = c;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_space(struct reader *r)
{
	while (r->at < r->end && is_space(*r->at))
		r->at++;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = lexer_fold(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One character; %xx in sqlcommenter's form only. */
static char decoded(struct reader *r)
{
	char c = *r->at++;
	if (r->own || c != '%' || r->end - r->at < 2 || hex(r->at[0]) < 0 || hex(r->at[1]) < 0)
		return c;
	c = (char)(hex(r->at[0]) * 16 + hex(r->at[1]));
	r->at += 2;
	return c;
}

static bool ends_word(const struct reader *r)
{
	return r->at == r->end || is_space(*r->at) || strchr(",='", *r->at);
}

static bool read_key(struct reader *r, struct text *key)
{
	while (!ends_word(r))
		put(key, decoded(r));
	if (!r->own)
		skip_space(r);
	if (!key->size || key->overflow || r->at == r->end || *r->at != '=')
		return false;
	r->at++;
	if (!r->own)
		skip_space(r);
	return true;
}

/* Quotes inside are \' or, in our form, also ''. */
static bool read_quoted(struct reader *r, struct text *value)
{
	for (r->at++; r->at < r->end;) {
		bool escape = r->end - r->at > 1 && r->at[1] == '\'' &&
		              (*r->at == '\\' || (r->own && *r->at == '\''));
		if (escape)
			r->at++;
		else if (*r->at == '\'')
			return r->at++, !value->overflow;
		put(value, decoded(r));
	}
	return false;
}

static bool read_value(struct reader *r, struct text *value)
{
	if (r->at < r->end && *r->at == '\'')
		return read_quoted(r, value);
	if (!r->own)
		return false;
	while (r->at < r->end && !is_space(*r->at) && *r->at != ',')
		put(value, *r->at++);
	return value->size && !value->overflow;
}

/* A pair ends at a comma, or in our form at white space, or with the comment. */
static bool at_boundary(struct reader *r)
{
	bool spaced = r->at < r->end && is_space(*r->at);
	skip_space(r);
	return r->at == r->end || *r->at == ',' || (r->own && spaced);
}

static void read_pair(struct reader *r)
{
	struct text key = {.size = 0}, value = {.size = 0};
	if (read_key(r, &key) && read_value(r, &value) && at_boundary(r)) {
		r->fn(key.bytes, key.size, value.bytes, value.size, r->arg);
		return;
	}
	while (r->at < r->end && *r->at != ',' && !(r->own && is_space(*r->at)))
		r->at++;
}

static void read_comment(const char *text, size_t size, void *arg)
{
	static const char prefix[] = "moongate:";
	struct reader r = *(const struct reader *)arg;
	r.at = text;
	r.end = text + size;
	skip_space(&r);
	size_t rest = (size_t)(r.end - r.at);
	r.own = rest >= sizeof(prefix) - 1 && memcmp(r.at, prefix, sizeof(prefix) - 1) == 0;
	if (r.own)
		r.at += sizeof(prefix) - 1;
	else if (r.only_own)
		return;
	for (skip_space(&r); r.at < r.end; skip_space(&r)) {
		if (*r.at == ',')
			r.at++;
		else
			read_pair(&r);
	}
}

static void read_all(const char *sql, size_t size, bool standard_strings, struct reader *reader)
{
	struct lexer l = lexer_init(sql, size <= TEXT ? size : 0, standard_strings);
	while (lexer_next_commented(&l, read_comment, reader).kind != TOKEN_END)
		continue;
}

void sql_tags(const char *sql, size_t size, bool standard_strings, sql_tag_fn *fn, void *arg)
{
	read_all(sql, size, standard_strings, &(struct reader){.fn = fn, .arg = arg});
}

void sql_tags_own(const char *sql, size_t size, bool standard_strings, sql_tag_fn *fn, void *arg)
{
	struct reader reader = {.only_own = true, .fn = fn, .arg = arg};
	read_all(sql, size, standard_strings, &reader);
}
