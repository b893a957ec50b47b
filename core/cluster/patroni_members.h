/* patroni_members.h - who is in a Patroni cluster, from what its REST API answers to GET /cluster.
 * Pure. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_PATRONI_MEMBERS_H
#define MOONGATE_CLUSTER_PATRONI_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct patroni_member {
	char *name, *host;
	char port[8];
	char *api_url;    /* of its own REST API; NULL: not said */
	bool leader;      /* it holds the leader's key: not that of a standby cluster */
	bool running;     /* and lets clients in, or soon will */
	bool unbalanced;  /* tagged noloadbalance */
	int64_t timeline; /* 0: not said */
};

struct patroni_members {
	struct patroni_member *list; /* owned */
	size_t count;
};

/* Members that have not told where they are, as those who are only being made, are left out; one at
 * least is not. On failure false, and `error` says what is wrong with the answer. */
bool patroni_members_parse(struct patroni_members *members, const char *body, size_t size,
                           char *error, size_t error_size);
void patroni_members_free(struct patroni_members *members); /* zeroes are fine */

/* NULL: nobody is called so. */
const struct patroni_member *patroni_members_find(const struct patroni_members *members,
                                                  const char *name);

/* Whether there is reason to look at the endpoints at once: another leader or timeline, or somebody
 * runs who did not. */
bool patroni_members_changed(const struct patroni_members *before,
                             const struct patroni_members *now);

#endif
