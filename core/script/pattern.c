/* pattern.c - see pattern.h.
 *
 * A pattern is a row of items. Single items (a character, ".", "%a", "[set]") have a body, which
 * says what characters they take, and maybe a suffix, which says how many. match() goes through the
 * row; where there are choices it calls itself for the rest, with the first choice first. */
/* SPDX-License-Identifier: MIT */
#include "script/pattern.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#define ESCAPE    '%'
#define MAX_DEPTH 200

static const char *match(struct pattern *p, const char *at, const char *item);

static const char *refuse(struct pattern *p, const char *error)
{
	p->error = error;
	return NULL;
}

/* False: there is nothing left, and the match is to be given up. */
static bool step(struct pattern *p, ptrdiff_t count)
{
	p->steps -= count;
	return p->steps >= 0;
}

static bool given_up(const struct pattern *p)
{
	return p->error || p->steps < 0;
}

/* After "[...]", which begins at `body`. The first character of a set closes none. */
static const char *set_end(struct pattern *p, const char *body)
{
	const char *c = body + 1;
	if (*c == '^')
		c++;
	do {
		if (c == p->end)
			return refuse(p, "malformed pattern (missing ']')");
		bool escaped = *c++ == ESCAPE && c < p->end;
		c += escaped;
	} while (*c != ']');
	return step(p, (c - body) / 8) ? c + 1 : NULL;
}

/* After a single item's body. */
static const char *body_end(struct pattern *p, const char *body)
{
	if (*body == '[')
		return set_end(p, body);
	if (*body != ESCAPE)
		return body + 1;
	if (body + 1 == p->end)
		return refuse(p, "malformed pattern (ends with '%%')");
	return body + 2;
}

/* "%a" and the like; of what is no class, the character itself. */
static bool in_class(int c, int class)
{
	bool is;
	switch (tolower(class)) {
	case 'a':
		is = isalpha(c);
		break;
	case 'c':
		is = iscntrl(c);
		break;
	case 'd':
		is = isdigit(c);
		break;
	case 'g':
		is = isgraph(c);
		break;
	case 'l':
		is = islower(c);
		break;
	case 'p':
		is = ispunct(c);
		break;
	case 's':
		is = isspace(c);
		break;
	case 'u':
		is = isupper(c);
		break;
	case 'w':
		is = isalnum(c);
		break;
	case 'x':
		is = isxdigit(c);
		break;
	case 'z': /* of Lua 5.1, still understood */
		is = c == 0;
		break;
	default:
		return c == class;
	}
	return is != (bool)isupper(class);
}

/* `body` .. `last` is "[" .. "]". */
static bool in_set(struct pattern *p, int c, const char *body, const char *last)
{
	bool complement = body[1] == '^';
	const unsigned char *at = (const unsigned char *)body + 1 + complement;
	const unsigned char *end = (const unsigned char *)last;
	bool found = false;
	p->steps -= (last - body) / 8;
	while (at < end && !found) {
		if (*at == ESCAPE) {
			found = in_class(c, at[1]);
			at += 2;
		} else if (at[1] == '-' && at + 2 < end) {
			found = at[0] <= c && c <= at[2];
			at += 3;
		} else {
			found = *at++ == c;
		}
	}
	return found != complement;
}

/* Whether the character at `at` is one that the single item takes. */
static bool takes(struct pattern *p, const char *at, const char *body, const char *end)
{
	assert(at); /* for the analyzer, which does not see that matches begin somewhere */
	if (at >= p->subject_end)
		return false;
	int c = (unsigned char)*at;
	switch (*body) {
	case '.':
		return true;
	case ESCAPE:
		return in_class(c, (unsigned char)body[1]);
	case '[':
		return in_set(p, c, body, end - 1);
	default:
		return (unsigned char)*body == c;
	}
}

/* "*" and "+": as many as there are, then fewer. The suffix stands at `suffix`. */
static const char *match_most(struct pattern *p, const char *at, const char *body,
                              const char *suffix)
{
	ptrdiff_t count = 0;
	while (takes(p, at + count, body, suffix)) {
		count++;
		if (!step(p, 1))
			return NULL;
	}
	for (; count >= 0; count--) {
		const char *end = match(p, at + count, suffix + 1);
		if (end || given_up(p))
			return end;
	}
	return NULL;
}

/* "-": as few as will do. */
static const char *match_least(struct pattern *p, const char *at, const char *body,
                               const char *suffix)
{
	for (;; at++) {
		const char *end = match(p, at, suffix + 1);
		if (end || given_up(p))
			return end;
		if (!takes(p, at, body, suffix))
			return NULL;
	}
}

/* "(", "()": the capture counts while the rest matches. */
static const char *open_capture(struct pattern *p, const char *at, const char *rest, int kind)
{
	if (p->captures >= PATTERN_CAPTURES)
		return refuse(p, "too many captures");
	p->capture[p->captures++] = (struct capture){at, kind};
	const char *end = match(p, at, rest);
	if (!end)
		p->captures--;
	return end;
}

static const char *close_capture(struct pattern *p, const char *at, const char *rest)
{
	int i = p->captures - 1;
	while (i >= 0 && p->capture[i].size != CAPTURE_OPEN)
		i--;
	if (i < 0)
		return refuse(p, "invalid pattern capture");
	p->capture[i].size = at - p->capture[i].start;
	const char *end = match(p, at, rest);
	if (!end)
		p->capture[i].size = CAPTURE_OPEN;
	return end;
}

/* "%b()": `pair` are the two characters. After the one that closes, or NULL. */
static const char *match_balanced(struct pattern *p, const char *at, const char *pair)
{
	size_t open = 1;
	if (pair + 1 >= p->end)
		return refuse(p, "malformed pattern (missing arguments to '%%b')");
	if (*at != pair[0])
		return NULL;
	while (++at < p->subject_end && step(p, 1)) {
		if (*at == pair[1] && --open == 0)
			return at + 1;
		if (*at != pair[1] && *at == pair[0])
			open++;
	}
	return NULL;
}

/* "%f[set]": between a character that is not in the set and one that is. A NUL stands before the
 * first and after the last. After the set, or NULL. */
static const char *match_frontier(struct pattern *p, const char *at, const char *set)
{
	if (*set != '[')
		return refuse(p, "missing '[' after '%%f' in pattern");
	const char *end = set_end(p, set);
	if (!end)
		return NULL;
	int before = at == p->subject ? 0 : (unsigned char)at[-1];
	bool edge = !in_set(p, before, set, end - 1) && in_set(p, (unsigned char)*at, set, end - 1);
	return edge ? end : NULL;
}

/* "%1": what the capture took, once more. */
static const char *match_again(struct pattern *p, const char *at, int digit)
{
	int i = digit - '1';
	if (i < 0 || i >= p->captures || p->capture[i].size == CAPTURE_OPEN) {
		p->error_index = i + 1;
		return refuse(p, "invalid capture index %%%d");
	}
	const struct capture *c = &p->capture[i];
	if (c->size < 0 || c->size > p->subject_end - at)
		return NULL;
	if (!step(p, c->size / 8) || memcmp(c->start, at, (size_t)c->size) != 0)
		return NULL;
	return at + c->size;
}

/* What stands at an item: how to go on. A single item without a suffix, "%b", "%f" and "%1" move
 * `at` and `item` on; all else ends in a match of the rest. */
struct cursor {
	const char *at, *item;
};

/* False: `*end` is the result. */
static bool pass_single(struct pattern *p, struct cursor *c, const char **end)
{
	const char *suffix = body_end(p, c->item);
	*end = NULL;
	if (!suffix)
		return false;
	char kind = suffix < p->end ? *suffix : '\0';
	if (kind == '-') {
		*end = match_least(p, c->at, c->item, suffix);
		return false;
	}
	if (kind == '*') {
		*end = match_most(p, c->at, c->item, suffix);
		return false;
	}
	bool taken = takes(p, c->at, c->item, suffix);
	if (kind == '+') {
		*end = taken ? match_most(p, c->at + 1, c->item, suffix) : NULL;
		return false;
	}
	if (kind == '?') {
		*end = taken ? match(p, c->at + 1, suffix + 1) : NULL;
		c->item = suffix + 1;
		return !*end && !given_up(p);
	}
	c->at += taken;
	c->item = suffix;
	return taken;
}

/* The same for what begins with "%". */
static bool pass_escape(struct pattern *p, struct cursor *c, const char **end)
{
	const char *next = NULL;
	*end = NULL;
	if (c->item[1] == 'b') {
		next = match_balanced(p, c->at, c->item + 2);
		c->item += 4;
	} else if (c->item[1] == 'f') {
		c->item = match_frontier(p, c->at, c->item + 2);
		return c->item != NULL;
	} else if (isdigit((unsigned char)c->item[1])) {
		next = match_again(p, c->at, (unsigned char)c->item[1]);
		c->item += 2;
	} else {
		return pass_single(p, c, end);
	}
	if (!next)
		return false;
	c->at = next;
	return true;
}

static bool pass(struct pattern *p, struct cursor *c, const char **end)
{
	switch (*c->item) {
	case '(':
		if (c->item[1] == ')')
			*end = open_capture(p, c->at, c->item + 2, CAPTURE_POSITION);
		else
			*end = open_capture(p, c->at, c->item + 1, CAPTURE_OPEN);
		return false;
	case ')':
		*end = close_capture(p, c->at, c->item + 1);
		return false;
	case '$':
		if (c->item + 1 != p->end)
			return pass_single(p, c, end);
		*end = c->at == p->subject_end ? c->at : NULL;
		return false;
	case ESCAPE:
		return pass_escape(p, c, end);
	default:
		return pass_single(p, c, end);
	}
}

static const char *match(struct pattern *p, const char *at, const char *item)
{
	struct cursor c = {at, item};
	const char *end = NULL;
	if (p->depth >= MAX_DEPTH)
		return refuse(p, "pattern too complex");
	p->depth++;
	do {
		if (!step(p, 1))
			break;
		if (c.item == p->end) {
			end = c.at;
			break;
		}
	} while (pass(p, &c, &end));
	p->depth--;
	return end;
}

const char *pattern_match(struct pattern *p, const char *at)
{
	p->captures = 0;
	p->depth = 0;
	p->error = NULL;
	return match(p, at, p->text);
}

bool pattern_is_plain(const char *text, size_t size)
{
	static const char special[] = "^$*+?.([%-";
	for (size_t i = 0; i < size; i++)
		if (text[i] && strchr(special, text[i]))
			return false;
	return true;
}
