/* cancel.h - cancel requests: from a client's key to the statement that its server is running.
 *
 * libpq's PQcancel() blocks, so it runs on a thread of its own. Until it is done the server is kept
 * from any other borrower: a cancel never hits a statement of somebody else's. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_CANCEL_H
#define MOONGATE_ROUTER_CANCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;
struct worker;

#define CANCELS_MAX                                                                                \
	64 /* under way at once; a request beyond them is dropped, as requests may be              \
	    */

struct exchange;

/* What the client's server is running is cancelled, or the search for a server given up. */
void cancel_exchange(struct worker *w, struct exchange *x);

/* Unknown keys and idle clients are passed over without a word, as PostgreSQL does. */
void cancel_request(struct worker *w, uint32_t pid, const uint8_t *secret, size_t secret_size);

/* A borrower gives `server` back. True: a cancel is under way for it, and gives it back later. */
bool cancel_keeps(struct server *server, bool reusable);

/* For the worker: threads tell through w->cancel_done. */
void cancel_init(struct worker *w);
void cancel_stop(struct worker *w);

#endif
