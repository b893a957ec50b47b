/* rewrite.h - a batch's messages as the server is to get them.
 *
 * A client's name of a statement becomes the server's; a statement that the server lacks is
 * prepared there first; one that it has is not parsed again. What that changes of the answers, the
 * edits say (edits.h). */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_REWRITE_H
#define MOONGATE_ROUTER_REWRITE_H

#include "router/relay.h"

/* Appends to `out` what is to be sent instead of the batch, unless it can go as it is:
 * `*rewritten`. The client's names change at once; what the server does not confirm is undone. */
enum status rewrite_batch(struct exchange *x, const struct batch *b, const uint8_t *bytes,
                          struct buffer *out, bool *rewritten) MUST_CHECK;

/* The batch goes as it is: only its completions are counted, which edits behind it go by. */
void rewrite_count(struct exchange *x, const struct batch *b, const uint8_t *bytes);

/* The batch that is being answered has failed here: what was still to be met of its edits did not
 * happen. */
void rewrite_undo_batch(struct exchange *x);

/* Nothing that is still to be met will happen. */
void rewrite_undo_all(struct exchange *x);

/* A simple Query has gone out: the unnamed statement is no more. */
void rewrite_drop_unnamed(struct exchange *x);

#endif
