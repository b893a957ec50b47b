/* mirror.h - copies of reads for another endpoint: fire and forget (moongate.mirror()).
 *
 * A copy has a life of its own: it borrows a server, is answered there, and what comes back is
 * counted and dropped; its client never waits for it. Only a lone read is copied: one batch,
 * outside of a block, from a client that is not pinned. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_MIRROR_H
#define MOONGATE_ROUTER_MIRROR_H

#include "router/batch.h"

struct client;
struct route;
struct worker;

#define MIRRORS_MAX 64 /* under way at once, for a worker; more are dropped */

/* A copy of the batch, which has gone to its own server, goes to an endpoint of `to`. */
void mirror_send(struct client *c, struct route *to, const struct batch *b, const uint8_t *bytes);

/* Those that look for a server still are dropped: the clusters are about to be others. */
void mirrors_stop_seeking(struct worker *w);

/* All of them are. */
void mirrors_stop(struct worker *w);

/* mirror_copy.c: appends the batch as a server takes it that knows none of the client's prepared
 * statements: each is parsed as the unnamed one. False: it cannot be copied, or memory is out. */
bool mirror_copy(const struct client *c, const struct batch *b, const uint8_t *bytes,
                 struct buffer *out);

#endif
