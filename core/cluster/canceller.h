/* canceller.h - PostgreSQL is asked to stop what a server is running, and the server stays in use.
 *
 * A cancel request goes over a connection of its own, so it may arrive before the statement, and is
 * lost, or after it, and hits the next one. Against the first it is repeated until the statement is
 * answered. Against the second the server's holder keeps it from any other statement until no
 * request is on its way: libpq's PQcancel() returns once PostgreSQL has closed that connection,
 * which it does after the signal was sent; and a backend that is waiting for a statement drops
 * what it was sent before it begins another.
 *
 * PQcancel() blocks, so each request has a thread of its own, which tells through a descriptor. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_CANCELLER_H
#define MOONGATE_CLUSTER_CANCELLER_H

#include "cluster/server.h"

struct canceller;

/* No request is on its way any more. `sound` is false when one may still be: it took too long to
 * deliver, and the server must be closed. */
typedef void canceller_done_fn(struct canceller *canceller, bool sound);

struct delivery;

/* Embedded in the server's holder. Zero is "not under way". */
struct canceller {
	struct server *server; /* NULL: not under way */
	canceller_done_fn *fn; /* NULL: the statement runs */
	struct delivery *delivery;
	unsigned sent;
	ev_io delivered;
	ev_timer timer; /* until the next request; or, once it was answered, until it is too late */
};

/* Asks now, and again and again. Fine when it is under way. */
void canceller_start(struct canceller *canceller, struct server *server);

/* The statement was answered. True: no request is on its way, and it is over. False: `fn` runs once
 * that is so, not inside of this call; the holder keeps the server until then. */
bool canceller_answered(struct canceller *canceller, canceller_done_fn *fn) MUST_CHECK;

/* It goes on at another address while the statement runs; nothing is left at `from`. */
void canceller_move(struct canceller *to, struct canceller *from);

/* The server is being closed: nobody cares any more. Fine when it is not under way. */
void canceller_stop(struct canceller *canceller);

#endif
