/* block.c - see block.h. */
/* SPDX-License-Identifier: MIT */
#include "router/block.h"

#include "router/client.h"
#include "router/demands.h"
#include "sql/lexer.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <stdio.h>
#include <string.h>

#define ACCESS (EFFECT_READ_ONLY | EFFECT_READ_WRITE)

char block_status(const struct client *c)
{
	switch (c->block.state) {
	case BLOCK_LAZY:
	case BLOCK_LOST:
		return 'T';
	case BLOCK_FAILED:
		return 'E';
	case BLOCK_NONE:
		break;
	}
	return 'I';
}

static void leave(struct client *c)
{
	buffer_free(&c->block.begin);
	c->block = (struct block){.state = BLOCK_NONE};
}

void block_fail(struct client *c)
{
	leave(c);
	c->block.state = BLOCK_FAILED;
}

void block_cut_off(struct client *c, const char *sqlstate)
{
	block_fail(c);
	c->standard_strings = c->settings->standard_strings;
	if (!sqlstate)
		return;
	c->block.state = BLOCK_LOST;
	snprintf(c->block.lost, sizeof c->block.lost, "%s", sqlstate);
}

void block_hand_over(struct client *c, struct buffer *begin)
{
	*begin = c->block.begin;
	c->block = (struct block){.state = BLOCK_NONE};
}

/* A comment may end the text: the semicolon goes on a line of its own. */
static enum status enter(struct client *c, const struct batch *b)
{
	struct block *block = &c->block;
	enum status status = buffer_append(&block->begin, b->sql, b->sql_size);
	if (status == ST_OK)
		status = buffer_append(&block->begin, "\n;", 2);
	if (b->effects & ACCESS)
		block->effects &= ~(unsigned)ACCESS;
	block->effects |= b->effects;
	block->state = BLOCK_LAZY;
	return status;
}

/* BEGIN has two names, and answers to the one that was used. */
static const char *begin_tag(const struct batch *b, bool standard_strings)
{
	struct lexer lexer = lexer_init(b->sql, b->sql_size, standard_strings);
	struct token token;
	do
		token = lexer_next(&lexer);
	while (token.kind == TOKEN_OPERATOR);
	return token_is_word(&lexer, token, "start") ? "START TRANSACTION" : "BEGIN";
}

enum deed { DEED_NONE, DEED_BEGIN, DEED_SET, DEED_END, DEED_REFUSE, DEED_TELL, DEED_CLOSE };

static bool ends_block(const struct batch *b)
{
	return b->statements == 1 && b->facts && b->effects & EFFECT_END &&
	       !(b->effects & EFFECT_CHAIN) &&
	       (b->facts->kind == SQL_COMMIT || b->facts->kind == SQL_ROLLBACK);
}

static bool answerable(const struct batch *b)
{
	return b->end == BATCH_QUERY || (b->end == BATCH_SYNC && b->executes == 1);
}

static enum deed deed_of(const struct client *c, const struct batch *b)
{
	if (b->extended && !b->works && !b->copy_end && !b->bare && !b->passing)
		return DEED_CLOSE;
	bool commits = b->facts && b->facts->kind == SQL_COMMIT;
	bool ends = ends_block(b) && answerable(b) && c->block.state != BLOCK_NONE;
	if (c->block.state == BLOCK_LOST && !(ends && !commits))
		return DEED_TELL;
	if (ends)
		return DEED_END;
	if (c->block.state == BLOCK_FAILED)
		return DEED_REFUSE;
	if (b->statements != 1 || !b->sql || !(b->effects & EFFECT_LAZY) || !answerable(b))
		return DEED_NONE;
	bool begins = b->effects & EFFECT_BEGIN;
	if (begins && c->block.state == BLOCK_NONE)
		return DEED_BEGIN;
	return !begins && c->block.state == BLOCK_LAZY ? DEED_SET : DEED_NONE;
}

/* The statement's effect, and its tag. */
static enum status run(struct client *c, const struct batch *b, enum deed deed, const char **tag)
{
	switch (deed) {
	case DEED_BEGIN:
		*tag = begin_tag(b, c->standard_strings);
		return enter(c, b);
	case DEED_SET:
		*tag = "SET";
		return enter(c, b);
	case DEED_END:
		*tag = c->block.state == BLOCK_LAZY && b->facts->kind == SQL_COMMIT ? "COMMIT"
		                                                                    : "ROLLBACK";
		demands_end_block(c, **tag == 'C');
		leave(c);
		return ST_OK;
	default:
		return ST_OK;
	}
}

static enum status name_statement(struct client *c, const uint8_t *body, const uint8_t *end)
{
	const uint8_t *text = batch_skip_string(body, end);
	struct statement *s = statement_of(&c->worker->statements, text, (size_t)(end - text),
	                                   c->settings->parse_key, c->standard_strings);
	if (!s)
		return ST_ENOMEM;
	if (!*body) {
		statement_unref(c->unnamed);
		c->unnamed = s;
		return ST_OK;
	}
	enum status status = names_set(&c->names, (const char *)body, s);
	statement_unref(s);
	return status;
}

static enum status close_one(struct client *c, const uint8_t *body, const uint8_t *end)
{
	enum status status = ST_OK;
	if (body < end && *body == 'S' && batch_skip_string(body + 1, end)) {
		if (body[1])
			status = names_set(&c->names, (const char *)body + 1, NULL);
		else {
			statement_unref(c->unnamed);
			c->unnamed = NULL;
		}
	}
	return status == ST_OK ? message_bare(&c->out, '3') : status;
}

static enum status describe_row(struct client *c, const struct block_reply *reply)
{
	return reply->column ? message_column(&c->out, reply->column) : message_bare(&c->out, 'n');
}

static enum status describe(struct client *c, const uint8_t *body, const struct block_reply *reply)
{
	enum status status = *body == 'S' ? message_no_parameters(&c->out) : ST_OK;
	return status == ST_OK ? describe_row(c, reply) : status;
}

static enum status execute(struct client *c, const struct block_reply *reply)
{
	enum status status = reply->column ? message_text_row(&c->out, reply->value) : ST_OK;
	return status == ST_OK ? message_command(&c->out, reply->tag) : status;
}

/* One message of an extended batch. */
static enum status answer_one(struct client *c, char type, const uint8_t *body, const uint8_t *end,
                              const struct block_reply *reply, char block)
{
	enum status status;
	switch (type) {
	case 'P':
		status = name_statement(c, body, end);
		return status == ST_OK ? message_bare(&c->out, '1') : status;
	case 'B':
		return message_bare(&c->out, '2');
	case 'D':
		return describe(c, body, reply);
	case 'E':
		return execute(c, reply);
	case 'C':
		return close_one(c, body, end);
	case 'S':
		return message_ready(&c->out, block);
	default:
		return ST_OK;
	}
}

enum status block_reply(struct client *c, const struct batch *b, const uint8_t *bytes,
                        const struct block_reply *reply, char block)
{
	enum status status = ST_OK;
	struct frame f;
	if (!b->extended) {
		status = reply->column ? message_column(&c->out, reply->column) : ST_OK;
		if (status == ST_OK)
			status = execute(c, reply);
		return status == ST_OK ? message_ready(&c->out, block) : status;
	}
	for (const uint8_t *at = bytes, *end = bytes + b->size;
	     status == ST_OK && at < end && wire_frame(at, (size_t)(end - at), &f) == ST_OK;
	     at += f.size)
		status = answer_one(c, f.type, at + WIRE_HEADER, at + f.size, reply, block);
	return status;
}

enum status block_refuse(struct client *c)
{
	return message_error(&c->out, "ERROR", "25P02",
	                     "current transaction is aborted, commands ignored until end of "
	                     "transaction block",
	                     NULL);
}

static enum status end_refused(struct client *c, const struct batch *b)
{
	c->skip_to_sync = b->end == BATCH_NO_ANSWER;
	return c->skip_to_sync ? ST_OK : message_ready(&c->out, block_status(c));
}

static enum status refuse(struct client *c, const struct batch *b)
{
	enum status status = block_refuse(c);
	return status == ST_OK ? end_refused(c, b) : status;
}

/* The first that the client hears of it; a COMMIT that comes to that has ended the block. */
static enum status tell(struct client *c, const struct batch *b)
{
	enum status status = message_error(
	        &c->out, "ERROR", c->block.lost,
	        "the server connection was lost; the transaction is rolled back", NULL);
	if (ends_block(b) && answerable(b))
		leave(c);
	else
		c->block.state = BLOCK_FAILED;
	return status == ST_OK ? end_refused(c, b) : status;
}

/* One message of such a batch; `*portal` is the one that is bound. */
static bool is_plain(const struct client *c, char type, const char *body, size_t size,
                     const char **portal)
{
	switch (type) {
	case 'P':
		return !*body || !names_find(c->names, body);
	case 'B':
		*portal = body;
		return true;
	case 'E':
		return *portal && strcmp(*portal, body) == 0;
	case 'C':
		return size >= 2 && strchr("SP", *body) && *body;
	case 'D':
		if (size >= 2 && *body == 'P')
			return *portal && strcmp(*portal, body + 1) == 0;
		return size >= 2 && *body == 'S';
	default:
		return true;
	}
}

bool block_is_plain(const struct client *c, const struct batch *b, const uint8_t *bytes)
{
	const char *portal = NULL;
	struct frame f;
	for (const uint8_t *at = bytes, *end = bytes + b->size;
	     at < end && wire_frame(at, (size_t)(end - at), &f) == ST_OK; at += f.size)
		if (f.size > (size_t)(end - at) ||
		    !is_plain(c, f.type, (const char *)at + WIRE_HEADER, f.size - WIRE_HEADER,
		              &portal))
			return false;
	return true;
}

bool block_deallocate(struct client *c, const struct batch *b, char block)
{
	if (b->end != BATCH_QUERY || !b->deallocates || b->statements != 1 || !b->facts)
		return false;
	const char *name = b->facts->name;
	if (!names_find(c->names, name))
		return false;
	enum status status = names_set(&c->names, name, NULL);
	if (status == ST_OK)
		status = message_command(&c->out, "DEALLOCATE");
	if (status == ST_OK)
		status = message_ready(&c->out, block);
	if (status != ST_OK)
		client_drop(c);
	return true;
}

enum answered block_answer(struct client *c, const struct batch *b, const uint8_t *bytes)
{
	const char *tag = "";
	enum deed deed = deed_of(c, b);
	enum status status = ST_OK;
	if (deed == DEED_NONE)
		return block_deallocate(c, b, block_status(c)) ? ANSWERED : NOT_ANSWERED;
	if (deed == DEED_REFUSE || deed == DEED_TELL) {
		status = deed == DEED_TELL ? tell(c, b) : refuse(c, b);
		return status == ST_OK ? ANSWERED : UNANSWERABLE;
	}
	if (b->extended && !block_is_plain(c, b, bytes))
		return NOT_ANSWERED;
	if (deed != DEED_CLOSE)
		status = run(c, b, deed, &tag);
	if (status == ST_OK)
		status = block_reply(c, b, bytes, &(struct block_reply){.tag = tag},
		                     block_status(c));
	return status == ST_OK ? ANSWERED : UNANSWERABLE;
}
