/* batch.c - see batch.h. */
/* SPDX-License-Identifier: MIT */
#include "router/batch.h"

#include "wire/frame.h"

#include <string.h>

struct scan {
	struct classifier *classifier;
	bool standard_strings;
	struct batch *batch;
	const char **wrong;
};

static enum status refuse(const struct scan *s, const char *what)
{
	*s->wrong = what;
	return ST_ECLIENT;
}

/* The statement of a Query or Parse message; the write among several decides. */
static void add_text(const struct scan *s, const char *sql, size_t size)
{
	struct batch *b = s->batch;
	const struct facts *facts = classifier_facts(s->classifier, sql, size, s->standard_strings);
	bool decides = !b->text || (b->intent == INTENT_READ && facts->intent == INTENT_WRITE);
	b->several = b->text || facts->statements != 1;
	b->text = true;
	b->pins |= facts_pins_with_settings(facts);
	b->effects |= facts->effects;
	b->uncertain |= facts->kind == SQL_UNKNOWN || facts->kind == SQL_MULTI ||
	                facts->kind == SQL_CALL || facts->kind == SQL_DO ||
	                (facts->effects & (EFFECT_BEGIN | EFFECT_END));
	if (decides) {
		b->intent = facts->intent;
		b->sql = sql;
		b->sql_size = size;
	}
}

static void add_unread_text(struct batch *b)
{
	b->text = b->uncertain = b->several = true;
	b->intent = INTENT_WRITE;
	b->sql = NULL;
}

/* Where the string at `at` ends, behind its NUL; NULL: not within the message. */
static const uint8_t *skip_string(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *nul = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;
	return nul ? nul + 1 : NULL;
}

static enum status scan_query(const struct scan *s, const uint8_t *body, const uint8_t *end)
{
	const uint8_t *after = skip_string(body, end);
	if (after != end)
		return refuse(s, "invalid Query message: expected one string that ends with a NUL");
	add_text(s, (const char *)body, (size_t)(end - body) - 1);
	return ST_OK;
}

static enum status scan_parse(const struct scan *s, const uint8_t *body, const uint8_t *end)
{
	const uint8_t *sql = skip_string(body, end);
	const uint8_t *after = sql ? skip_string(sql, end) : NULL;
	if (!after || end - after < 2 || end - after != 2 + 4 * wire_u16(after))
		return refuse(s, "invalid Parse message");
	if (*body)
		s->batch->named = true;
	else
		s->batch->unnamed = true;
	add_text(s, (const char *)sql, (size_t)(after - sql) - 1);
	return ST_OK;
}

/* Only what has arrived can be looked at: the values of a large Bind may still be on their way. */
static void scan_bind(struct batch *b, const uint8_t *body, const uint8_t *end)
{
	const uint8_t *statement = skip_string(body, end);
	const uint8_t *formats = statement ? skip_string(statement, end) : NULL;
	if (!formats)
		return;
	if (!*statement && !b->unnamed)
		b->needs_unnamed = true;
	if (end - formats < 2 || end - formats < 2 + 2 * wire_u16(formats) + 2)
		return;
	if (b->parameters == 0)
		b->parameters = wire_u16(formats + 2 + 2 * wire_u16(formats));
}

static void scan_describe(struct batch *b, const uint8_t *body, const uint8_t *end)
{
	if (end - body >= 2 && *body == 'S' && !body[1] && !b->unnamed)
		b->needs_unnamed = true;
}

/* One message, of which `there` bytes have arrived. Sets batch->end when the batch ends with it. */
static enum status scan_message(const struct scan *s, char type, const uint8_t *at, size_t there,
                                bool whole, bool *ends)
{
	struct batch *b = s->batch;
	const uint8_t *body = at + WIRE_HEADER, *end = at + there;
	*ends = true;
	switch (type) {
	case 'Q':
		b->end = BATCH_QUERY;
		if (whole)
			return scan_query(s, body, end);
		add_unread_text(b);
		return ST_OK;
	case 'F':
		b->end = BATCH_QUERY;
		add_unread_text(b);
		return ST_OK;
	case 'S':
		b->end = BATCH_SYNC;
		return ST_OK;
	case 'H':
		b->end = BATCH_NO_ANSWER;
		return ST_OK;
	default:
		break;
	}
	*ends = !whole;
	switch (type) {
	case 'P':
		if (whole)
			return scan_parse(s, body, end);
		b->named = true;
		add_unread_text(b);
		return ST_OK;
	case 'B':
		scan_bind(b, body, end);
		return ST_OK;
	case 'D':
		scan_describe(b, body, end);
		return ST_OK;
	case 'E':
		b->executes = true;
		return ST_OK;
	case 'c':
	case 'f':
		b->copy_end = true;
		return ST_OK;
	case 'C':
	case 'd':
		return ST_OK;
	default:
		return refuse(s, "invalid frontend message type");
	}
}

static bool is_stray(char type)
{
	return type == 'd' || type == 'c' || type == 'f';
}

/* Must be there as a whole before it can be judged. */
static bool wants_whole(const struct frame *f)
{
	return (f->type == 'Q' || f->type == 'P') && f->size <= BATCH_TEXT;
}

enum status batch_scan(struct classifier *classifier, bool standard_strings, const uint8_t *bytes,
                       size_t size, struct batch *b, const char **wrong)
{
	*b = (struct batch){.intent = INTENT_READ};
	const struct scan s = {classifier, standard_strings, b, wrong};
	for (;;) {
		struct frame f;
		size_t left = size - b->size;
		enum status status = wire_frame(bytes + b->size, left, &f);
		if (status == ST_ECLIENT)
			return refuse(&s, "invalid message length");
		if (status == ST_OK && f.type == 'X') {
			b->end = b->size ? BATCH_NO_ANSWER : BATCH_TERMINATE;
			return ST_OK;
		}
		bool whole = status == ST_OK && f.size <= left;
		bool enough = b->size + left >= BATCH_GATHER;
		if (status != ST_OK || (!whole && (wants_whole(&f) || !enough))) {
			if (!enough || b->size == 0)
				return ST_AGAIN;
			b->end = BATCH_NO_ANSWER;
			return ST_OK;
		}
		size_t there = whole ? f.size : left;
		if (b->size == 0 && is_stray(f.type)) {
			*b = (struct batch){
			        .end = BATCH_STRAY, .size = there, .passing = f.size - there};
			return ST_OK;
		}
		bool ends;
		status = scan_message(&s, f.type, bytes + b->size, there, whole, &ends);
		if (status != ST_OK)
			return status;
		b->bare = b->size == 0 && f.type == 'S';
		b->size += there;
		b->passing = f.size - there;
		if (ends)
			return ST_OK;
	}
}
