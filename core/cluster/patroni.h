/* patroni.h - which endpoints a cluster has, as Patroni says: its REST API is asked again and
 * again, and who joins or leaves there does so here.
 *
 * Of roles Patroni has no say: probes find them. That another leader is heard of, or somebody runs
 * again, has them hurry. As long as nobody answers, all stays as it was. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_PATRONI_H
#define MOONGATE_CLUSTER_PATRONI_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define PATRONI_MEMBERS 3 /* to make room for while it is not known how many there are */

struct cluster;
struct patroni;

/* What the script knows of a member better than Patroni. */
struct patroni_known {
	const char *name, *region; /* NULL: none */
	double weight;
};

struct patroni_config {
	const char *const *urls; /* http://host:8008, of several members or only one */
	size_t url_count;
	const char *connect;      /* how to connect to a member: a URL without host and port */
	const char *ca;           /* see fetch.h */
	double interval, timeout; /* s; the timeout is of each URL */
	const struct patroni_known *members;
	size_t member_count;
};

/* Copies `config`. NULL: `error` says what is wrong. Nobody is asked before patroni_start(). All of
 * these but the first take NULL for a cluster without Patroni. */
struct patroni *patroni_new(struct cluster *cluster, const struct patroni_config *config,
                            char *error, size_t error_size);
void patroni_free(struct patroni *patroni);

/* Asks at once, then every `interval` seconds. */
void patroni_start(struct patroni *patroni);
void patroni_stop(struct patroni *patroni);

/* The members that `from` knows join the cluster of `to`, which has not been started, if both ask
 * the same Patroni: then the new cluster does not begin with nothing. ST_ENOMEM: not all of them.
 */
enum status patroni_inherit(struct patroni *to, const struct patroni *from) MUST_CHECK;

/* Whether the script knows a member of that region. */
bool patroni_has_region(const struct patroni *patroni, const char *region);

/* What was wrong when it was asked last, or that it was not yet; NULL: nothing. */
const char *patroni_trouble(const struct patroni *patroni);

/* The first URL's host and port. */
const char *patroni_place(const struct patroni *patroni);

#endif
