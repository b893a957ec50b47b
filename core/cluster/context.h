/* context.h - what every part that does I/O is given: its loop, its log, its resolver, its chance.
 *
 * One per worker of the router, one per Lua state of the embedded module; never shared by threads.
 * The owner makes it, and frees it after all that was built on it. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_CONTEXT_H
#define MOONGATE_CLUSTER_CONTEXT_H

#include "base/log.h"

#include <ev.h>
#include <stdint.h>

struct resolver;

struct context {
	struct ev_loop *loop;
	struct log log;
	struct resolver *resolver;
	uint64_t random;    /* state of random.h's generator */
	unsigned servers;   /* connections to PostgreSQL, open or opening: a descriptor each */
	double stood_still; /* s in all that the loop was not run: between the module's calls */
};

#endif
