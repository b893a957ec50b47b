/* probe.h - asks one endpoint, again and again, whether and as what it is there.
 *
 * One round trip per interval on a connection of its own: role, read-only state, WAL position,
 * timeline, system identifier, start of the server, replay delay; the time that it takes is the
 * endpoint's latency. When it connects again is health.h's decision. At most one connection and one
 * question are under way at any time. */
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

/* Follows a changed health.next; while the primary is looked for (cluster_searches()), endpoints
 * that may have become it are probed at least every PROBE_SEARCH seconds. */
#define PROBE_SEARCH 0.05
void probe_reschedule(struct probe *probe);

/* Probes a usable endpoint at once, or PROBE_QUIET seconds after the last one began; once more, if
 * one is under way. */
#define PROBE_QUIET 0.1
void probe_hurry(struct probe *probe);

/* Probes a usable endpoint `pause` seconds after its last probe began; once more, if one is under
 * way. The earliest of what was asked for counts. */
void probe_soon(struct probe *probe, double pause);

/* The endpoint has other addresses: a connection to an old one is given up, and it is probed. */
void probe_moved(struct probe *probe);

/* A query wanted this endpoint although it is not usable: given up on, it is tried again. */
void probe_demand(struct endpoint *endpoint);

#endif
