/* sequences.h - currval() and lastval() tell of the client's own nextval(), and of no other's.
 *
 * A server keeps what each sequence gave last, whichever client it was given to. So ahead of what
 * may ask for it goes DISCARD SEQUENCES, as long as the client has drawn nothing there itself:
 * afterwards it would lose its own. In a block that question may come later, behind something
 * drawn; where anyone asks at all, it is sent ahead of the first write. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_SEQUENCES_H
#define MOONGATE_ROUTER_SEQUENCES_H

#include "router/relay.h"

/* Whether what the server has of sequences is to be forgotten ahead of this batch. */
bool sequences_are_due(const struct exchange *x, const struct batch *b);

/* The batch has gone to the server. */
void sequences_sent(struct exchange *x, const struct batch *b);

#endif
