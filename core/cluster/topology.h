/* topology.h - which endpoint is the primary, or why none is. Pure.
 *
 * Roles are those that probes have found. Of several primaries the one on the newest timeline is
 * the cluster's: the timeline that any primary was ever seen on, though it be down now, or that a
 * replica follows. A primary on an older one has been replaced and takes nothing but reads that
 * may be as old as they like. Two on the newest have both been written to, perhaps: neither is
 * trusted, and writes are refused rather than split. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_TOPOLOGY_H
#define MOONGATE_CLUSTER_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum role { ROLE_UNKNOWN, ROLE_PRIMARY, ROLE_REPLICA };

const char *role_name(enum role role); /* "unknown", "primary", "replica" */

/* What is known of one endpoint. */
struct member {
	enum role role;    /* as last probed; before that, as configured */
	bool configured;   /* the configuration calls it the primary */
	bool awaited;      /* no probe has come back from it yet: its role is only configured */
	bool failed;       /* the last thing heard of it was a failure */
	bool usable;       /* see health.h */
	bool read_only;    /* it takes no writes, though it may be a primary */
	uint32_t timeline; /* as last probed; 0: not known */
	uint64_t system;   /* its system identifier; 0: not known */
};

enum topology_state {
	TOPOLOGY_PRIMARY,   /* there is one, and it takes writes */
	TOPOLOGY_READ_ONLY, /* there is one, and it takes no writes */
	TOPOLOGY_STARTING,  /* the configured one has not answered yet */
	TOPOLOGY_DOWN,      /* the last one known does not answer */
	TOPOLOGY_OUTDATED,  /* those that answer are on a timeline that was left */
	TOPOLOGY_SPLIT,     /* several on the newest timeline */
	TOPOLOGY_NONE,      /* no endpoint is one */
};

#define TOPOLOGY_NOBODY SIZE_MAX

struct topology {
	enum topology_state state;
	size_t primary;    /* the best known, which may be down; TOPOLOGY_NOBODY: none, or split */
	uint32_t timeline; /* the newest; 0: not known */
	uint64_t system;   /* what the cluster's endpoints have in common; 0: not known yet */
	uint64_t outdated; /* a bit each: on an older timeline than the newest */
	uint64_t rivals;   /* a bit each: primaries on the newest timeline, if split */
	uint64_t foreign;  /* a bit each: of another system, and so of no use */
};

/* `system` is what the last look found (0: none yet): endpoints of another one are foreign. While
 * there is none, that of the configured primary counts, then that of any. At most 64 members. */
struct topology topology_of(const struct member *members, size_t count, uint64_t system);

/* Why writes wait or are refused: "the primary is down"; NULL for TOPOLOGY_PRIMARY. */
const char *topology_reason(enum topology_state state);

#endif
