/* refusal.h - a batch that the attached server is not to run, refused in its place.
 *
 * The server gets something in its stead that fails there: so a block fails as it should, and the
 * answers keep their order. The client reads our words instead of the server's. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_REFUSAL_H
#define MOONGATE_ROUTER_REFUSAL_H

#include "router/relay.h"

/* It would leave something behind on a replica, whose client could write nowhere from then on: the
 * block it is in runs there. */
bool refusal_is_due(const struct exchange *x, const struct batch *b);

/* Sends what stands in for the batch, whose answer the caller then awaits: `rejection`'s words, or
 * where that is NULL what refusal_is_due() has found. */
enum status refusal_send(struct exchange *x, const struct batch *b,
                         const struct verdict *rejection) MUST_CHECK;

#endif
