/* batch.c - see batch.h. */
/* SPDX-License-Identifier: MIT */
#include "router/batch.h"

#include "wire/frame.h"

#include <string.h>

struct scan {
	const struct batch_reader *reader;
	struct batch *batch;
	const char **wrong;
};

static enum status refuse(const struct scan *s, const char *what)
{
	*s->wrong = what;
	return ST_ECLIENT;
}

/* A statement that nobody can read may do anything. */
static const struct facts unread = {.intent = INTENT_WRITE,
                                    .kind = SQL_UNKNOWN,
                                    .effects = EFFECT_MAY_PIN | EFFECT_UNPINS,
                                    .reason = "cannot be read"};

static enum status note_touched(const struct scan *s, const struct facts *facts)
{
	enum status status = ST_OK;
	for (size_t i = 0; i < facts->setting_count && status == ST_OK; i++)
		status = buffer_append(s->reader->touched, facts->settings[i],
		                       strlen(facts->settings[i]) + 1);
	return status;
}

static bool may_move_block(const struct facts *facts)
{
	switch (facts->kind) {
	case SQL_UNKNOWN:
	case SQL_MULTI:
	case SQL_CALL:
	case SQL_DO:
		return true;
	default:
		return facts->effects & (EFFECT_BEGIN | EFFECT_END);
	}
}

static bool may_change_names(const struct facts *facts)
{
	return facts->kind == SQL_DEALLOCATE || facts->kind == SQL_DISCARD ||
	       facts->kind == SQL_MULTI || facts->kind == SQL_PREPARE;
}

static void note_tables(struct batch_tables *tables, const struct facts *facts)
{
	tables_add(&tables->all, facts);
	if (facts_may_write(facts))
		tables_add(&tables->written, facts);
}

/* One more statement; the write among several decides. True: this one does. */
static bool add_facts(const struct scan *s, const struct facts *facts, enum status *status)
{
	struct batch *b = s->batch;
	bool decides =
	        b->statements == 0 || (b->intent == INTENT_READ && facts->intent == INTENT_WRITE);
	b->statements += facts->statements == 1 ? 1 : 2;
	b->pins |= facts->pins;
	b->effects |= facts->effects;
	b->uncertain |= may_move_block(facts);
	b->writes |= facts_may_write(facts);
	if (s->reader->tables)
		note_tables(s->reader->tables, facts);
	b->commits |= facts->kind == SQL_COMMIT;
	b->changes_names |= may_change_names(facts);
	b->deallocates |= facts->kind == SQL_DEALLOCATE && facts->name;
	*status = note_touched(s, facts);
	if (decides) {
		b->intent = facts->intent;
		b->facts = facts;
		b->fingerprint = facts->fingerprint;
		b->kind = facts->kind;
		b->statement = NULL;
		b->sql = NULL;
		b->sql_size = 0;
	} else if (!b->statement && b->sql) {
		/* What was said of it before is gone: the classifier has been asked again. */
		b->facts = NULL;
	}
	return decides;
}

static enum status add_unread(const struct scan *s, bool may_set)
{
	enum status status;
	add_facts(s, &unread, &status);
	s->batch->unread |= may_set;
	return status;
}

/* The text of a Query or Parse message. */
static enum status add_text(const struct scan *s, const char *sql, size_t size)
{
	enum status status;
	if (s->reader->unreadable)
		return add_unread(s, true);
	const struct facts *facts = classifier_facts(s->reader->classifier, s->reader->catalog, sql,
	                                             size, s->reader->standard_strings);
	if (add_facts(s, facts, &status)) {
		s->batch->sql = sql;
		s->batch->sql_size = size;
	}
	return status;
}

static enum status add_statement(const struct scan *s, struct statement *statement)
{
	enum status status;
	if (s->reader->unreadable)
		return add_unread(s, true);
	if (add_facts(s, statement_facts(statement, s->reader->catalog), &status)) {
		s->batch->statement = statement;
		s->batch->sql = statement->body;
		s->batch->sql_size = statement->sql_size;
	}
	return status;
}

/* What is parsed once more is known already, however long its text. */
static enum status add_parsed(const struct scan *s, const uint8_t *body, size_t size,
                              size_t sql_size)
{
	struct batch *b = s->batch;
	b->parsed = body;
	b->parsed_key = statement_key(s->reader->statements, body, size, s->reader->parse_key,
	                              s->reader->standard_strings);
	struct statement *known = statement_known(s->reader->statements, b->parsed_key);
	return known ? add_statement(s, known) : add_text(s, (const char *)body, sql_size);
}

const uint8_t *batch_skip_string(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *nul = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;
	return nul ? nul + 1 : NULL;
}

static enum status scan_query(const struct scan *s, const uint8_t *body, const uint8_t *end)
{
	const uint8_t *after = batch_skip_string(body, end);
	if (after != end)
		return refuse(s, "invalid Query message: expected one string that ends with a NUL");
	return add_text(s, (const char *)body, (size_t)(end - body) - 1);
}

static enum status scan_parse(const struct scan *s, const uint8_t *body, const uint8_t *end)
{
	const uint8_t *sql = batch_skip_string(body, end);
	const uint8_t *after = sql ? batch_skip_string(sql, end) : NULL;
	if (!after || end - after < 2 || end - after != 2 + 4 * wire_u16(after))
		return refuse(s, "invalid Parse message");
	if (*body)
		s->batch->names = s->batch->changes_names = true;
	else
		s->batch->unnamed = true;
	return add_parsed(s, sql, (size_t)(end - sql), (size_t)(after - sql) - 1);
}

/* A message uses this statement. Where the batch has prepared it, it has been looked at there. */
static enum status use(const struct scan *s, const char *name)
{
	struct statement *statement = s->reader->unnamed;
	if (*name) {
		s->batch->names = true;
		statement = names_find(s->reader->names, name);
		s->batch->named = name;
		s->batch->named_as = statement;
	} else if (s->batch->unnamed) {
		return ST_OK;
	} else {
		s->batch->needs_unnamed = true;
	}
	return statement ? add_statement(s, statement) : ST_OK;
}

/* Only what has arrived can be looked at: the values of a large Bind may still be on their way. */
static enum status scan_bind(const struct scan *s, const uint8_t *body, const uint8_t *end)
{
	struct batch *b = s->batch;
	const uint8_t *statement = batch_skip_string(body, end);
	const uint8_t *formats = statement ? batch_skip_string(statement, end) : NULL;
	b->binds = true;
	if (!formats)
		return ST_OK;
	if (b->parameters == 0 && end - formats >= 2 &&
	    end - formats >= 2 + 2 * wire_u16(formats) + 2)
		b->parameters = wire_u16(formats + 2 + 2 * wire_u16(formats));
	return use(s, (const char *)statement);
}

static enum status scan_describe(const struct scan *s, const uint8_t *body, const uint8_t *end)
{
	if (*body != 'S' || !batch_skip_string(body + 1, end))
		return ST_OK;
	return use(s, (const char *)body + 1);
}

static void scan_close(struct batch *b, const uint8_t *body)
{
	if (*body != 'S')
		return;
	b->names = b->changes_names = true;
}

static enum status scan_simple(const struct scan *s, char type, const uint8_t *body,
                               const uint8_t *end, bool whole)
{
	s->batch->end = BATCH_QUERY;
	s->batch->works = true;
	if (type == 'Q' && whole)
		return scan_query(s, body, end);
	return add_unread(s, type == 'Q'); /* what may be called by its OID sets nothing */
}

/* What may come within a batch of the extended protocol. */
static enum status scan_extended(const struct scan *s, char type, const uint8_t *body,
                                 const uint8_t *end, bool whole)
{
	struct batch *b = s->batch;
	b->extended = true;
	b->works |= type == 'P' || type == 'B' || type == 'D' || type == 'E';
	switch (type) {
	case 'P':
		if (whole)
			return scan_parse(s, body, end);
		b->names = b->changes_names = true;
		return add_unread(s, false); /* its client keeps the server: RELAY_PIN_STATEMENT */
	case 'B':
		return scan_bind(s, body, end);
	case 'D':
		return body < end ? scan_describe(s, body, end) : ST_OK;
	case 'C':
		if (body < end)
			scan_close(b, body);
		return ST_OK;
	case 'E':
		b->executes++;
		return ST_OK;
	case 'c':
	case 'f':
		b->copy_end = true;
		return ST_OK;
	case 'd':
		return ST_OK;
	default:
		return refuse(s, "invalid frontend message type");
	}
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
	case 'F':
		return scan_simple(s, type, body, end, whole);
	case 'S':
		b->end = BATCH_SYNC;
		b->extended = true;
		return ST_OK;
	case 'H':
		b->end = BATCH_NO_ANSWER;
		b->extended = true;
		return ST_OK;
	default:
		*ends = !whole;
		return scan_extended(s, type, body, end, whole);
	}
}

static bool is_stray(char type)
{
	return type == 'd' || type == 'c' || type == 'f';
}

#define BIND_HEAD 1024 /* bytes of a Bind message that hold its names, and more */

/* Must be there as a whole before it can be judged, or rewritten; of a Bind its beginning will do.
 */
static bool wants_more(const struct frame *f, size_t there)
{
	if (f->type == 'B')
		return there < BIND_HEAD;
	return f->size <= BATCH_TEXT && strchr("QPDCEHS", f->type);
}

/* A piece of the batch is missing. ST_OK: it is cut here, and the rest follows it. */
static enum status cut(struct batch *b, bool enough)
{
	if (!enough || b->size == 0)
		return ST_AGAIN;
	b->end = BATCH_NO_ANSWER;
	return ST_OK;
}

static enum status scan_all(const struct batch_reader *reader, const uint8_t *bytes, size_t size,
                            struct batch *b, const char **wrong)
{
	*b = (struct batch){.intent = INTENT_READ};
	const struct scan s = {reader, b, wrong};
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
		if (status == ST_OK && b->size && (f.type == 'Q' || f.type == 'F')) {
			b->end = BATCH_NO_ANSWER; /* the server may pass it over: see may_go() */
			return ST_OK;
		}
		bool whole = status == ST_OK && f.size <= left;
		bool enough = b->size + left >= BATCH_GATHER;
		if (status != ST_OK || (!whole && (wants_more(&f, left) || !enough)))
			return cut(b, enough);
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

enum status batch_scan(const struct batch_reader *reader, const uint8_t *bytes, size_t size,
                       struct batch *b, const char **wrong)
{
	enum status status = scan_all(reader, bytes, size, b, wrong);
	if (b->extended && !b->binds)
		b->pins = 0; /* what is prepared alone has not run: whoever binds it will pin */
	return status;
}
