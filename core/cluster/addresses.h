/* addresses.h - what an endpoint's host name stands for, looked up again as the answers age.
 *
 * A name that is moved to another address (a failover by DNS) makes the endpoint another one: its
 * probe connects anew, and servers that go to an address which is none of the name's any more are
 * closed as they come free. A name must stand for one PostgreSQL at a time: of one that stands for
 * a changing choice of several, the servers would be closed with each answer. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_ADDRESSES_H
#define MOONGATE_CLUSTER_ADDRESSES_H

#include <stdbool.h>

struct endpoint;
struct resolved;
struct addresses;

/* An answer is taken to hold for its TTL within these bounds, s; one without, and a failure, for
 * ADDRESSES_RETRY. */
#define ADDRESSES_LEAST 1.0
#define ADDRESSES_MOST  300.0
#define ADDRESSES_RETRY 5.0

/* NULL: out of memory. Nothing is asked before the first answer is heard of. */
struct addresses *addresses_new(struct endpoint *endpoint);
void addresses_free(struct addresses *a); /* NULL is fine */

/* A connection being opened has looked the name up. What follows from it happens later, from the
 * loop: endpoint_moved(), and the next look. */
void addresses_heard(struct addresses *a, const struct resolved *answer);

/* Whether the peer of this socket is one of them; true where nothing is known. */
bool addresses_include(const struct addresses *a, int fd);

/* Grows whenever they change. */
unsigned addresses_epoch(const struct addresses *a);

#endif
