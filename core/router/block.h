/* block.h - transaction blocks as far as the router itself answers for them.
 *
 *   NONE    whatever block there is, a server has it
 *   LAZY    BEGIN was answered, and SET TRANSACTION perhaps; nothing has been sent yet. The first
 * *           real statement chooses the server, knowing the block's access mode and isolation
 * level FAILED  no server could be had for it, or it was lost: everything is refused until its end,
 * as PostgreSQL does LOST    as FAILED, but the client has not been told yet: its next statement
 * gets the error */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_BLOCK_H
#define MOONGATE_ROUTER_BLOCK_H

#include "base/buffer.h"
#include "base/status.h"
#include "router/batch.h"

struct client;

enum block_state { BLOCK_NONE, BLOCK_LAZY, BLOCK_FAILED, BLOCK_LOST };

struct block {
	enum block_state state;
	char lost[6];        /* the SQLSTATE that is to be told in LOST */
	unsigned effects;    /* EFFECT_READ_ONLY and the like, of what began it */
	struct buffer begin; /* the SQL to send: BEGIN ...; SET TRANSACTION ... */
};

enum answered {
	ANSWERED,     /* nothing is to be sent */
	NOT_ANSWERED, /* a server has to see it */
	UNANSWERABLE, /* out of memory */
};

/* What a statement comes to: its tag, and where `column` is not NULL one row of one text. */
struct block_reply {
	const char *tag, *column, *value;
};

/* Answers the messages of a batch whose statement has come to this; ReadyForQuery says `status`. */
enum status block_reply(struct client *c, const struct batch *b, const uint8_t *bytes,
                        const struct block_reply *reply, char status) MUST_CHECK;

/* Whether a batch's messages can be answered without PostgreSQL's word, be it for a name that is
 * taken or for a portal that is not there. */
bool block_is_plain(const struct client *c, const struct batch *b, const uint8_t *bytes);

/* Answers a batch that needs no server, into client->out; nothing is attached, and nothing awaited.
 */
enum answered block_answer(struct client *c, const struct batch *b, const uint8_t *bytes);

/* Answers DEALLOCATE, as a simple Query, of a name that the router keeps; `status` is that of the
 * block. False: it is no such thing. */
bool block_deallocate(struct client *c, const struct batch *b, char status);

/* No server could be had for a block that was begun here. */
void block_fail(struct client *c);

/* The server of a client's block was lost. The client has been told already, where `sqlstate` is
 * NULL. */
void block_cut_off(struct client *c, const char *sqlstate);

/* Appends to client->out the error that a failed block answers everything with, 25P02. */
enum status block_refuse(struct client *c) MUST_CHECK;

/* What ReadyForQuery says while no server is attached. */
char block_status(const struct client *c);

/* Its statements have gone to a server. */
void block_hand_over(struct client *c, struct buffer *begin);

#endif
