/* reload.h - another routing script takes over from the one that runs, and no client notices.
 *
 * The new one is loaded beside the old one, and whatever is wrong with it leaves the old one as it
 * is. Then all at once: endpoints that both have move with their servers (adopt.h), queries that
 * look for a server look again by the new policy, and what runs goes on where it is. An endpoint
 * that is no more takes no new work, and is freed when its last server has come back. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_RELOAD_H
#define MOONGATE_ROUTER_RELOAD_H

#include "cluster/adopt.h"

#include <stdbool.h>
#include <stdint.h>

#define RELOAD_ERROR 1024

struct worker;

/* Inside of struct worker; zero is "not yet". */
struct reloads {
	uint64_t done, failed;
	struct adoption last;     /* what the last one came to */
	char error[RELOAD_ERROR]; /* why the last one that failed has */
};

/* Not from within a policy or a client's callback. False: w->reloads.error says why, and so does
 * the log. */
bool reload(struct worker *w);

/* Frees what was removed and is not in use any more. */
void reload_reap(struct worker *w);

/* The same, in use or not: the worker ends. */
void reload_stop(struct worker *w);

#endif
