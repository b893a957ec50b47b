/* demands.h - what a client's reads must see, and what its writes tell others.
 *
 * transaction (SET LOCAL, tags of BEGIN) over statement (tags) over session (SET) over the policy's
 * route. A client that has asked for nothing, on a cluster none of whose routes has the level
 * `session`, has no demands of its own: then all there is, is client->last_write. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_DEMANDS_H
#define MOONGATE_ROUTER_DEMANDS_H

#include "cluster/scopes.h"
#include "router/batch.h"

#include <ev.h>

struct client;
struct exchange;

/* Made at first need, kept until the client goes. */
struct demands {
	struct need session; /* by SET, by the startup packet */
	struct need start;   /* by the startup packet: what RESET goes back to */
	struct need before;  /* the session's, when the block began: what ROLLBACK goes back to */
	struct need local;   /* by SET LOCAL */
	bool in_block;       /* `before` and `local` are of a block that goes on */
	bool rolled_back;    /* the last command has been ROLLBACK */
	struct need read;    /* of it: what the session has read last */
	/* SHOW moongate.token waits for a position: own.h. */
	struct client *client;
	ev_timer token;
	double token_until; /* 0: it does not */
};

/* NULL: out of memory. */
struct demands *demands_of(struct client *c);

/* What the batch's reads ask for beyond their route. False: a tag of it cannot be understood, and
 * `wrong` says why. */
bool demands_need(const struct client *c, const struct batch *b, bool in_block, struct need *need,
                  char *wrong, size_t wrong_size);

/* What `over` says wins over what `need` has said. */
void demands_lay(struct need *need, const struct need *over);

/* A batch goes to the server: the tables that it may write, and the key of what it writes. */
void demands_sent(struct exchange *x, const struct batch *b);

/* Its answer has come whole; `flags` are those of enum batch_flag. What was written in a block
 * counts once the block has ended. */
void demands_answered(struct exchange *x, uint8_t flags);

/* What is awaited will not come: whatever of it may have written counts as written now. */
void demands_lost(struct exchange *x);

/* What was SET in a block goes, or stays, with its end. */
void demands_end_block(struct client *c, bool committed);

#endif
