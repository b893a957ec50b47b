/* own.h - the settings moongate.*, which are the router's own: SET, RESET and SHOW of them are
 * answered here, and PostgreSQL never sees them.
 *
 *   moongate.consistency    a level of need.h
 *   moongate.max_staleness  seconds, for the level `bounded`
 *   moongate.after          a position that reads have to see
 *   moongate.token          that of the session's last write; to be shown only */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_OWN_H
#define MOONGATE_ROUTER_OWN_H

#include "base/status.h"
#include "router/batch.h"

struct client;

enum own {
	OWN_NOT,      /* none of it is ours */
	OWN_ANSWERED, /* or the client is gone */
	OWN_LATER,    /* client_resume() follows */
};

/* Answers a batch whose one statement is about such a setting. One that hides it among others is
 * refused: it would be without effect. */
enum own own_answer(struct client *c, const struct batch *b, const uint8_t *bytes);

/* Takes those that the startup packet has set out of c->startup. ST_ECLIENT: one of them is wrong,
 * and `wrong` says why. */
enum status own_start(struct client *c, char *wrong, size_t wrong_size) MUST_CHECK;

/* RESET ALL, DISCARD ALL. */
void own_reset_all(struct client *c, bool in_block);

/* The client goes: nothing is waited for any more. */
void own_end(struct client *c);

#endif
