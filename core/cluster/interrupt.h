/* interrupt.h - PostgreSQL is told to stop what nobody waits for any more.
 *
 * A backend notices that its client has gone when it next writes to it, which may be long after.
 * And it passes over a request to stop when it has not yet read the statement: a single one may
 * come too early, or between two statements of a pipeline. So the connection is kept until the
 * backend has answered, or has closed it, and it is asked again until then. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_INTERRUPT_H
#define MOONGATE_CLUSTER_INTERRUPT_H

#include "cluster/context.h"

#include <libpq-fe.h>

/* Takes `conn` over, which runs something; the loop does not watch it any more. libpq's PQcancel()
 * blocks, so a thread of its own does all that, and closes the connection in the end: when the
 * statement has ended, or has not for half a minute. */
void interrupt(struct context *context, PGconn *conn);

/* Before the context goes, and perhaps the process: waits until those have ended that are under
 * way, for so many seconds at most. */
void interrupts_end(struct context *context, double seconds);

#endif
