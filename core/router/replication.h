/* replication.h - replication connections: passed through to the primary, unpooled
 * (PostgreSQL, 55.4).
 *
 *  CHOOSING --primary found--> OPENING --server open--> STREAMING --server ended--> ENDING
 *
 * A client that asks for `replication` in its startup packet gets a server connection of its own,
 * opened with what that packet says. Once it is welcomed, bytes pass both ways as they are: nothing
 * is framed, routed or replayed. What one side does not take yet is kept, at most one read of it,
 * and the side that it came from is not read meanwhile. When the client goes, its server is closed
 * at once. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_REPLICATION_H
#define MOONGATE_ROUTER_REPLICATION_H

#include "wire/startup.h"

#include <stddef.h>
#include <stdint.h>

struct cancel_key;
struct client;
struct server;
struct worker;

/* Takes over the client's socket, and what it has sent behind its startup packet: `c` is GONE
 * afterwards, or CLOSING where it was refused. */
void replication_begin(struct client *c, const struct startup *startup, const uint8_t *more,
                       size_t size);

/* The server that runs what a cancel request for `key` (of CANCEL_REPLICATION) is about, or NULL.
 */
struct server *replication_server(struct cancel_key *key);

/* All of them end. */
/* The worker's script is another: who still looks for a primary does so by it. */
void replication_find_homes(struct worker *w);

void replication_stop(struct worker *w);

#endif
