/* evacuate.h - an endpoint has gone down with work waiting for it, or under way there. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_EVACUATE_H
#define MOONGATE_ROUTER_EVACUATE_H

#include <stdbool.h>

struct exchange;
struct worker;

/* Whoever waits in a queue of an endpoint that is down looks elsewhere. */
void evacuate_queues(struct worker *w);

/* A read that may be run again, of which nothing has been forwarded, and whose endpoint has gone
 * down since it was sent, is run elsewhere: its server may never answer. True: it is, and `x` may
 * be gone. */
bool evacuate_read(struct exchange *x);

#endif
