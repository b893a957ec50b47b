/* rewrite.c - see rewrite.h. */
/* SPDX-License-Identifier: MIT */
#include "router/rewrite.h"

#include "wire/frame.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names that no server has, and one that exists for a moment. */
#define NOBODY "moongate_none"
#define GONE   "moongate_gone"

struct rewriter {
	struct exchange *x;
	struct client *client;
	struct session *session;
	const struct batch *batch;
	struct buffer *out;
	const uint8_t *raw; /* from here on the batch's own bytes are to be sent */
	bool rewritten;
};

/* One message of the batch. */
struct message {
	struct frame frame;
	const uint8_t *at, *body, *end; /* `end` of what is there */
};

/* Sends the batch's own bytes up to here; what stands in for the next ones follows. */
static enum status replace(struct rewriter *r, const struct message *m)
{
	enum status status = buffer_append(r->out, r->raw, (size_t)(m->at - r->raw));
	r->raw = m->end;
	r->rewritten = true;
	return status;
}

/* A message of ours comes ahead of this one. */
static enum status precede(struct rewriter *r, const struct message *m)
{
	enum status status = buffer_append(r->out, r->raw, (size_t)(m->at - r->raw));
	r->raw = m->at;
	r->rewritten = true;
	return status;
}

/* Fills in when; takes over what `edit` owns. */
static enum status note(struct rewriter *r, struct edit edit)
{
	struct exchange *x = r->x;
	edit.batch = x->sending;
	edit.after = x->sent;
	if (edit.action == EDIT_CONFIRM)
		x->sent++;
	if (edit.change != CHANGE_NOTHING || edit.name)
		x->settling = x->sending + 1;
	return edits_push(&x->edits, &edit);
}

static enum status evict(struct rewriter *r, struct prepared *p)
{
	const struct edit edit = {.action = EDIT_SWALLOW,
	                          .change = CHANGE_EVICTS,
	                          .number = p->number,
	                          .statement = statement_ref(p->statement)};
	enum status status = message_close_statement(r->out, p->name);
	session_remove(r->session, p);
	enum status noted = note(r, edit);
	return status == ST_OK ? noted : status;
}

static enum status make_place(struct rewriter *r)
{
	unsigned limit = r->x->server->endpoint->cluster->pool.prepared_statements;
	enum status status = ST_OK;
	while (status == ST_OK && limit && r->session->count >= limit)
		status = evict(r, session_oldest(r->session));
	return status;
}

/* Prepares the statement on the server; `edit` says whose ParseComplete that is. */
static enum status prepare(struct rewriter *r, struct statement *statement, struct edit edit)
{
	enum status status = make_place(r);
	struct prepared *p = NULL;
	if (status == ST_OK)
		p = session_add(r->session, statement, r->client->worker->catalog_epoch);
	if (!p) {
		free(edit.name);
		return ST_ENOMEM;
	}
	edit.change = CHANGE_PREPARES;
	edit.number = p->number;
	edit.statement = statement_ref(statement);
	status = message_parse(r->out, p->name, statement->body, statement->size);
	enum status noted = note(r, edit);
	return status == ST_OK ? noted : status;
}

/* A statement is used, `*found` as the server has it; it is prepared where it is missing. */
static enum status use(struct rewriter *r, struct statement *statement, const char *client_name,
                       const struct prepared **found)
{
	struct prepared *p = session_find(r->session, statement);
	enum status status = ST_OK;
	r->x->named = statement;
	if (p && p->number <= r->session->stale) {
		status = evict(r, p);
		p = NULL;
	}
	if (!p && status == ST_OK) {
		status = prepare(r, statement, (struct edit){.action = EDIT_SWALLOW});
		p = session_find(r->session, statement);
	}
	if (!p)
		return status == ST_OK ? ST_ENOMEM : status;
	session_note_use(p, client_name);
	*found = p;
	return status;
}

/* The message makes the server complain as PostgreSQL does of a name that is taken. Parsing comes
 * first there, and may fail first. */
static enum status complain(struct rewriter *r, const char *name, const uint8_t *text, size_t size)
{
	const struct edit parsed = {.action = EDIT_SWALLOW};
	const struct edit error = {.action = EDIT_EXISTS, .name = strdup(name)};
	r->session->unnamed = NULL;
	enum status status = message_parse(r->out, "", text, size);
	if (status == ST_OK)
		status = note(r, parsed);
	if (status == ST_OK)
		status = message_bind(r->out, "", NOBODY);
	if (status != ST_OK) {
		free(error.name);
		return status;
	}
	return note(r, error);
}

static struct statement *statement_for(const struct rewriter *r, const uint8_t *text, size_t size)
{
	const struct client *c = r->client;
	struct statement_table *table = &c->worker->statements;
	struct statement_key key =
	        text == r->batch->parsed ? r->batch->parsed_key
	                                 : statement_key(table, text, size, c->settings->parse_key,
	                                                 c->standard_strings);
	return statement_of(table, key, text, size, c->standard_strings);
}

static enum status set_unnamed(struct rewriter *r, struct statement *statement)
{
	const struct edit edit = {
	        .action = EDIT_CONFIRM, .names_unnamed = true, .before = r->client->unnamed};
	r->client->unnamed = statement;
	r->session->unnamed = statement;
	return note(r, edit);
}

/* DEALLOCATE of a name that is ours to keep: the server is asked to forget another one, so that all
 * else about it, in a failed block too, is as ever. */
static enum status deallocate(struct rewriter *r, const struct message *m, const char *own,
                              const char *name)
{
	static const char text[] = "DEALLOCATE " GONE "\0\0";
	static const char nothing[] = "\0\0";
	struct prepared_name **names = &r->client->names;
	struct statement *before = names_find(*names, name);
	const struct edit swallow = {.action = EDIT_SWALLOW};
	struct edit confirm = {
	        .action = EDIT_CONFIRM, .name = strdup(name), .before = statement_ref(before)};
	enum status status = replace(r, m);
	for (int i = 0; i < 2 && status == ST_OK; i++) {
		status = i == 0 ? message_close_statement(r->out, GONE)
		                : message_parse(r->out, GONE, nothing, sizeof nothing);
		if (status == ST_OK)
			status = note(r, swallow);
	}
	if (status == ST_OK)
		status = message_parse(r->out, own, text, sizeof text);
	if (status == ST_OK)
		status = names_set(names, name, NULL);
	enum status noted = note(r, confirm);
	return status == ST_OK ? noted : status;
}

static enum status parse_unnamed(struct rewriter *r, const struct message *m, const uint8_t *text)
{
	struct statement *statement = statement_for(r, text, (size_t)(m->end - text));
	if (!statement)
		return ST_ENOMEM;
	if (r->batch->deallocates) {
		const struct facts *facts = statement_facts(statement, client_catalog(r->client));
		const char *name = facts->kind == SQL_DEALLOCATE ? facts->name : NULL;
		if (name && names_find(r->client->names, name)) {
			enum status status = deallocate(r, m, "", name);
			statement_unref(r->client->unnamed);
			r->client->unnamed = r->session->unnamed = statement;
			return status;
		}
	}
	return set_unnamed(r, statement);
}

/* The server has the statement: it is not parsed again, unless the block has failed, when the
 * server must say so, or the catalog has changed since, when what was parsed may be stale. */
static enum status parse_known(struct rewriter *r, const struct message *m, const char *name,
                               struct statement *statement)
{
	struct prepared *p = session_find(r->session, statement);
	struct edit edit = {.action = EDIT_CONFIRM, .name = strdup(name)};
	enum status status = replace(r, m);
	if (status != ST_OK || !edit.name) {
		free(edit.name);
		return ST_ENOMEM;
	}
	if (r->x->status == 'E') {
		r->session->unnamed = NULL;
		status = message_parse(r->out, "", statement->body, statement->size);
		enum status noted = note(r, edit);
		return status == ST_OK ? noted : status;
	}
	if (p && p->epoch == r->client->worker->catalog_epoch) {
		edit.action = EDIT_INJECT_PARSE;
		return note(r, edit);
	}
	if (p)
		status = evict(r, p);
	if (status == ST_OK)
		return prepare(r, statement, edit);
	free(edit.name);
	return status;
}

static enum status parse_named(struct rewriter *r, const struct message *m, const char *name,
                               const uint8_t *text)
{
	size_t size = (size_t)(m->end - text);
	if (names_find(r->client->names, name)) {
		enum status status = replace(r, m);
		return status == ST_OK ? complain(r, name, text, size) : status;
	}
	struct statement *statement = statement_for(r, text, size);
	if (!statement)
		return ST_ENOMEM;
	enum status status = names_set(&r->client->names, name, statement);
	if (status == ST_OK)
		status = parse_known(r, m, name, statement);
	statement_unref(statement);
	return status;
}

static enum status take_parse(struct rewriter *r, const struct message *m)
{
	const char *name = (const char *)m->body;
	const uint8_t *text = batch_skip_string(m->body, m->end);
	if (m->frame.size > (size_t)(m->end - m->at)) {
		/* Too long to be kept: it stays with the server that it was sent to. */
		r->client->pins |= RELAY_PIN_STATEMENT;
		r->x->sent++;
		return ST_OK;
	}
	return *name ? parse_named(r, m, name, text) : parse_unnamed(r, m, text);
}

/* The unnamed statement is used that a batch before this one has prepared. */
static enum status use_unnamed(struct rewriter *r, const struct message *m)
{
	struct statement *unnamed = r->client->unnamed;
	const struct edit swallow = {.action = EDIT_SWALLOW};
	if (unnamed && r->session->unnamed == unnamed)
		return ST_OK;
	if (!unnamed && r->client->pins & RELAY_PIN_STATEMENT)
		return ST_OK;
	enum status status = precede(r, m);
	if (status == ST_OK) /* another client's may be there: the server is to say that none is */
		status = unnamed ? message_parse(r->out, "", unnamed->body, unnamed->size)
		                 : message_close_statement(r->out, "");
	if (status == ST_OK)
		status = note(r, swallow);
	r->session->unnamed = unnamed;
	return status;
}

/* The message goes out with another name in place of the one at `name`; the rest of it stays, also
 * what has not arrived yet. */
static enum status rename_to(struct rewriter *r, const struct message *m, const uint8_t *name,
                             const char *to)
{
	const uint8_t *after = batch_skip_string(name, m->end);
	size_t before = (size_t)(name - m->body), rest = (size_t)(m->end - after);
	size_t length = strlen(to) + 1, body = m->frame.size - WIRE_HEADER;
	uint8_t *at = buffer_reserve(r->out, WIRE_HEADER + before + length + rest);
	if (!at)
		return ST_ENOMEM;
	wire_put_header(at, m->frame.type, body - (size_t)(after - name) + length);
	at += WIRE_HEADER;
	memcpy(at, m->body, before);
	memcpy(at + before, to, length);
	memcpy(at + before + length, after, rest);
	buffer_commit(r->out, WIRE_HEADER + before + length + rest);
	return ST_OK;
}

/* The client has no such statement, but the server may have, of another client's. */
static enum status miss(struct rewriter *r, const struct message *m, const uint8_t *name)
{
	struct edit error = {.action = EDIT_MISSING, .name = strdup((const char *)name)};
	enum status status = error.name ? rename_to(r, m, name, NOBODY) : ST_ENOMEM;
	enum status noted = note(r, error);
	return status == ST_OK ? noted : status;
}

/* What the client's name, as it stands in the batch, means. */
static struct statement *named(const struct rewriter *r, const char *name)
{
	const struct batch *b = r->batch;
	if (name == b->named && !b->changes_names)
		return b->named_as;
	return names_find(r->client->names, name);
}

/* Bind and Describe: the statement's name is at `name`. */
static enum status take_use(struct rewriter *r, const struct message *m, const uint8_t *name)
{
	const struct prepared *p = NULL;
	if (!name || !batch_skip_string(name, m->end))
		return ST_OK; /* the server will complain */
	if (!*name)
		return use_unnamed(r, m);
	struct statement *statement = named(r, (const char *)name);
	if (!statement && !session_is_name((const char *)name))
		return ST_OK; /* no name of ours: so the server has none, or by SQL's PREPARE */
	enum status status = replace(r, m);
	if (status == ST_OK && !statement)
		return miss(r, m, name);
	if (status == ST_OK)
		status = use(r, statement, (const char *)name, &p);
	return status == ST_OK ? rename_to(r, m, name, p->name) : status;
}

static enum status take_close(struct rewriter *r, const struct message *m)
{
	const char *name = (const char *)m->body + 1;
	if (m->body >= m->end || *m->body != 'S' || !batch_skip_string(m->body + 1, m->end)) {
		r->x->sent++;
		return ST_OK;
	}
	if (!*name)
		return set_unnamed(r, NULL);
	struct statement *before = names_find(r->client->names, name);
	if (!before) {
		r->x->sent++;
		return ST_OK;
	}
	const struct edit edit = {
	        .action = EDIT_INJECT_CLOSE, .name = strdup(name), .before = statement_ref(before)};
	enum status status = edit.name ? replace(r, m) : ST_ENOMEM;
	if (status == ST_OK)
		status = names_set(&r->client->names, edit.name, NULL);
	enum status noted = note(r, edit);
	return status == ST_OK ? noted : status;
}

static enum status take(struct rewriter *r, const struct message *m)
{
	enum status status = ST_OK;
	switch (m->frame.type) {
	case 'P':
		return take_parse(r, m);
	case 'B':
		status = take_use(r, m, batch_skip_string(m->body, m->end));
		r->x->sent++;
		return status;
	case 'D':
		if (m->body < m->end && *m->body == 'S')
			status = take_use(r, m, m->body + 1);
		r->x->sent++;
		return status;
	case 'C':
		return take_close(r, m);
	case 'E':
		r->x->sent++;
		return ST_OK;
	default:
		return ST_OK;
	}
}

enum status rewrite_batch(struct exchange *x, const struct batch *b, const uint8_t *bytes,
                          struct buffer *out, bool *rewritten)
{
	struct rewriter r = {.x = x,
	                     .client = x->client,
	                     .session = x->session,
	                     .batch = b,
	                     .out = out,
	                     .raw = bytes};
	const uint8_t *end = bytes + b->size;
	enum status status = ST_OK;
	for (const uint8_t *at = bytes; at < end && status == ST_OK;) {
		struct message m = {.at = at, .body = at + WIRE_HEADER};
		if (wire_frame(at, (size_t)(end - at), &m.frame) != ST_OK)
			break;
		m.end = m.frame.size < (size_t)(end - at) ? at + m.frame.size : end;
		status = take(&r, &m);
		at = m.end;
	}
	*rewritten = r.rewritten;
	if (status == ST_OK && r.rewritten)
		status = buffer_append(out, r.raw, (size_t)(end - r.raw));
	return status;
}

void rewrite_count(struct exchange *x, const struct batch *b, const uint8_t *bytes)
{
	for (size_t at = 0; at < b->size;) {
		struct frame f;
		if (wire_frame(bytes + at, b->size - at, &f) != ST_OK)
			return;
		x->sent += strchr("PBDCE", f.type) != NULL;
		at += f.size;
	}
}

static void undo(struct exchange *x, struct edit *e, bool failed_here)
{
	struct client *c = x->client;
	struct session *session = x->session;
	bool renames = e->name && !edit_is_error(e->action);
	if (renames && names_set(&c->names, e->name, e->before) != ST_OK)
		names_clear(&c->names); /* out of memory: none may mean something else */
	if (e->names_unnamed) {
		/* PostgreSQL drops the old one before it parses the new one. */
		statement_unref(c->unnamed);
		c->unnamed = failed_here ? NULL : e->before;
		e->before = failed_here ? e->before : NULL;
	}
	if (!session)
		return;
	if (e->names_unnamed)
		session->unnamed = NULL;
	struct prepared *p =
	        e->change == CHANGE_NOTHING ? NULL : session_find(session, e->statement);
	if (e->change == CHANGE_PREPARES && p && p->number == e->number)
		session_remove(session, p);
	if (e->change == CHANGE_EVICTS && !p &&
	    session_restore(session, e->statement, e->number) != ST_OK)
		session->last_number++; /* forgotten on the server: it costs its memory there */
}

static void undo_first(struct exchange *x, size_t count)
{
	struct edits *edits = &x->edits;
	for (size_t i = count; i-- > 0;) {
		struct edit *e = &edits->items[edits->first + i];
		undo(x, e, i == 0 && e->batch == x->answered && e->after == x->completions);
	}
	while (count-- > 0)
		edits_pop_front(edits);
}

void rewrite_undo_batch(struct exchange *x)
{
	size_t count = 0;
	while (count < x->edits.count &&
	       x->edits.items[x->edits.first + count].batch == x->answered)
		count++;
	undo_first(x, count);
}

void rewrite_undo_all(struct exchange *x)
{
	undo_first(x, x->edits.count);
}

void rewrite_drop_unnamed(struct exchange *x)
{
	statement_unref(x->client->unnamed);
	x->client->unnamed = NULL;
	if (x->session)
		x->session->unnamed = NULL;
}
