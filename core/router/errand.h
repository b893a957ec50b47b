/* errand.h - queries on our own account on a client's server; the client never sees their answers.
 *
 *   settings  takes the server to the client's settings, ahead of its first batch
 *   begin     the block that was answered before a server was chosen (block.h)
 *   restore   a startup setting that the client has RESET comes back, as with PostgreSQL
 *   ask       what the session holds, once it may have changed: settings, and what pins
 *
 * Each is one simple Query; all of them are answered before the batches that follow. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_ERRAND_H
#define MOONGATE_ROUTER_ERRAND_H

#include "router/relay.h"
#include "wire/frame.h"

enum errand {
	ERRAND_SETTINGS,
	ERRAND_BEGIN,
	ERRAND_RESTORE,
	ERRAND_ASK,
	ERRAND_SEQUENCES, /* DISCARD SEQUENCES: currval() is not to tell of other clients' */
	ERRAND_SKIP, /* no query: what is left of an answer that is not the client's any more */
};

/* Where the server's settings differ from the client's. */
enum status errand_apply_settings(struct exchange *x) MUST_CHECK;

enum status errand_forget_sequences(struct exchange *x) MUST_CHECK;

/* The rest of the answer that is being read is passed over. */
enum status errand_skip(struct exchange *x) MUST_CHECK;

/* Sends x->begin. */
enum status errand_begin(struct exchange *x) MUST_CHECK;

/* Whether the session is to be asked what it holds. */
bool errand_is_due(const struct exchange *x);

/* A batch was answered and none is awaited: sends what is due. The status is `I` or `T`. */
enum status errand_after_batch(struct exchange *x) MUST_CHECK;

/* A batch was answered and none is awaited: whether startup settings have to come back, which the
 * client is to hear of ahead of its ReadyForQuery. */
bool errand_must_restore(const struct exchange *x);

/* DISCARD ALL was done: the session is as new, and gets the client's startup settings back. */
enum status errand_renew(struct exchange *x) MUST_CHECK;

/* Sends a query of ours. */
enum status errand_run(struct exchange *x, enum errand errand, const struct buffer *sql) MUST_CHECK;

/* errand_ask.c: the question, and a row of its answer. */
enum status errand_ask(struct exchange *x) MUST_CHECK;
void errand_take_row(struct exchange *x, const uint8_t *body, const uint8_t *end);

/* Whether the client is to see this message of an answer to an errand. */
bool errand_shows(const struct exchange *x, char type);

/* One message of an answer to an errand; `body` is all there for E, D and Z. False: nothing of the
 * exchange may be touched any more. */
bool errand_answer(struct exchange *x, const struct frame *f, const uint8_t *body);

#endif
