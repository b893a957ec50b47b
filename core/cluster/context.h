/* context.h - what every part that does I/O is given: its loop, its log, its resolver, its chance.
 *
 * One per worker of the router, one per Lua state of the embedded module; never shared by threads.
 * The owner makes it, and frees it after all that was built on it. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_CONTEXT_H
#define MOONGATE_CLUSTER_CONTEXT_H

#include "base/log.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

struct alarms;
struct interruption;
struct resolver;

struct context {
	struct ev_loop *loop;
	struct log log;
	struct resolver *resolver;
	struct alarms *alarms; /* where timers are noted, for foreign loops; NULL: nowhere */
	uint64_t random;       /* state of random.h's generator */
	unsigned servers;      /* connections to PostgreSQL, open or opening: a descriptor each */
	double stood_still;    /* s in all that the loop was not run: between the module's calls */
	pid_t pid; /* whose it is: not its children's, after fork(); 0: it does not matter */
	struct interruption *interruptions; /* interrupt.h */
};

/* False in a child of fork(): all sockets are the parent's, which goes on to use them. */
static inline bool context_is_own(const struct context *context)
{
	return context->pid == 0 || context->pid == getpid();
}

#endif
