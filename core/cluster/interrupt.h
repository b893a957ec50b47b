/* interrupt.h - PostgreSQL is told to stop what nobody waits for any more.
 *
 * A backend notices that its client has gone when it next writes to it, which may be long after. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_INTERRUPT_H
#define MOONGATE_CLUSTER_INTERRUPT_H

#include <libpq-fe.h>

/* Sends a cancel request for what `conn` is running, which the caller then closes: the request may
 * arrive late. libpq's PQcancel() blocks, so a thread of its own does it, which nothing waits for;
 * what comes of it is not known. */
void interrupt(PGconn *conn);

#endif
