/* session_config.h - what holds for a client of this user in this database: the cluster's defaults,
 * overridden by its database and by its user. No I/O, no clock. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_SESSION_CONFIG_H
#define MOONGATE_CLUSTER_SESSION_CONFIG_H

#include "cluster/pool_config.h"

#include <stddef.h>

struct session_configs;

struct session_overrides {
	const struct session_override *list;
	size_t count;
};

/* Copies all of it. NULL: out of memory. */
struct session_configs *session_configs_new(const struct session_config *otherwise,
                                            const struct session_overrides *users,
                                            const struct session_overrides *databases);
void session_configs_free(struct session_configs *configs); /* NULL is fine */

/* Either name may be NULL: then nothing overrides by it. Never NULL; the same pointer for the same
 * overrides, good until the set is freed. (Out of memory, it is the defaults.) */
const struct session_config *session_configs_find(struct session_configs *configs, const char *user,
                                                  const char *database);

#endif
