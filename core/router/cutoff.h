/* cutoff.h - how a client goes on whose server was lost with work of its under way.
 *
 * Whoever is awaiting answers gets one error for each, with the transaction status that holds from
 * then on; a block has failed until its ROLLBACK, which is answered here (block.h). Nothing is run
 * again. A client that was doing nothing inside of its block is told at its next statement.
 *
 *   08006  the connection was lost; what had not been committed is rolled back
 *   08007  it was lost with a COMMIT or a write outside of a block under way: whether that took
 *          effect, nobody knows
 *   other  PostgreSQL's own, where it said FATAL before it went: 57P01 ... */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_CUTOFF_H
#define MOONGATE_ROUTER_CUTOFF_H

#include "router/relay.h"

/* Whether the client can be kept, should its server be lost now. Not where a message has come to it
 * in part, nor where its server holds what no other has: its pins are lost, and saying nothing of
 * that would be a lie. */
bool cutoff_may_stay(const struct exchange *x);

/* The server has said FATAL to a client that may stay: `*instead` becomes the error that the client
 * gets now; left empty, it gets none, or a later one. */
enum status cutoff_take_fatal(struct exchange *x, const uint8_t *body, size_t size,
                              struct buffer *instead) MUST_CHECK;

/* The server is lost, and the client may stay. Gives the server back and ends the exchange; the
 * client may be gone afterwards. */
void cutoff_go_on(struct exchange *x);

#endif
