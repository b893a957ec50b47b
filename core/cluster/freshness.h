/* freshness.h - up to which moment a replica is known to hold all commits. Pure.
 *
 * A probe of the primary, sent at t, reports its WAL insert position p: whatever was committed
 * before t lies at or below p. When a replica's replay position has reached p, the replica is
 * *fresh as of* t. Positions compare within one timeline only; a new one starts the history anew.
 */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_FRESHNESS_H
#define MOONGATE_CLUSTER_FRESHNESS_H

#include <math.h>
#include <stdint.h>

#define FRESHNESS_SAMPLES 64

/* The primary's latest reports, oldest first. Zero is empty. */
struct freshness {
	uint32_t timeline;
	uint32_t segment_size; /* bytes; 0 stands for PostgreSQL's default of 16 MiB */
	unsigned count;
	struct freshness_sample {
		double sent;       /* when the probe left */
		uint64_t position; /* what it brought back, adjusted for page headers */
	} samples[FRESHNESS_SAMPLES];
};

/* A probe of the primary, sent at `sent`, answered `position` on `timeline`. When it is full every
 * other sample goes, so that the history covers a longer time more coarsely. */
void freshness_primary(struct freshness *f, double sent, uint32_t timeline, uint64_t position);

/* The latest moment t such that replay position `position` on `timeline` has reached what a probe
 * sent at t reported; never earlier than `before`, what was known of this replica until now
 * (-INFINITY for nothing). */
double freshness_of(const struct freshness *f, uint32_t timeline, uint64_t position, double before);

/* The insert position as a replica can reach it: an idle primary at a page boundary counts the next
 * page's header (24 bytes, 40 at a segment's start) that no record has needed yet.
 * PostgreSQL, src/include/access/xlog_internal.h: SizeOfXLogShortPHD, SizeOfXLogLongPHD. */
uint64_t freshness_reachable(uint64_t position, uint32_t segment_size);

#endif
