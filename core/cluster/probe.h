/* probe.h - asks one endpoint, again and again, whether and as what it is there.
 *
 * One round trip per interval on a connection of its own: role, WAL position, timeline, replay
 * delay; the time that it takes is the endpoint's latency. When it connects again is health.h's
 * decision. At most one connection and one question are under way at any time. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_PROBE_H
#define MOONGATE_CLUSTER_PROBE_H

#include <stdbool.h>

struct endpoint;
struct probe;

/* NULL: out of memory. Quiet until probe_start(). */
struct probe *probe_new(struct endpoint *endpoint);
void probe_free(struct probe *probe); /* NULL is fine */

/* Probes at once, then at the times that the endpoint's health says; nothing where it was started
 * before. */
void probe_start(struct probe *probe);

/* Never again: its endpoint takes no new work. The others of these do nothing then. */
void probe_retire(struct probe *probe);

/* Follows a changed health.next. */
void probe_reschedule(struct probe *probe);

/* Probes at once, unless that is under way, or was less than `PROBE_QUIET` seconds ago. */
#define PROBE_QUIET 0.1
void probe_hurry(struct probe *probe);

/* Probes a usable endpoint `pause` seconds after its last probe began; once more, if one is under
 * way. The earliest of what was asked for counts. */
void probe_soon(struct probe *probe, double pause);

/* A query wanted this endpoint although it is not usable: given up on, it is tried again. */
void probe_demand(struct endpoint *endpoint);

#endif
