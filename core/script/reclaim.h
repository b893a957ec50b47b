/* reclaim.h - servers of handles that nobody refers to any more: Lua's collector, which knows
 * nothing of servers, is run when these are scarce. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_RECLAIM_H
#define MOONGATE_SCRIPT_RECLAIM_H

#include "script/blocking.h"

/* It is about to wait. Where that is for a server that others have to give back, a full collection
 * is run: now, and again as long as such a wait goes on. One that was of no use is followed by a
 * pause. What is collected may have finished the blocking. */
void reclaim(struct blocking *blocking);

void reclaim_init(struct state *state);

/* The loop is another's from now on. */
void reclaim_stop(struct state *state);

#endif
