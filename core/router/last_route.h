/* last_route.h - where a session's last query went, and why: SHOW moongate.last_route. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_LAST_ROUTE_H
#define MOONGATE_ROUTER_LAST_ROUTE_H

#include "script/policy.h"

#include <stddef.h>
#include <stdint.h>

struct client;
struct endpoint;

/* In every client, hence so small: routes, rules and endpoints by their numbers, 1 and up. Zero is
 * "nothing yet". */
struct last_route {
	uint16_t route, rule;
	uint8_t endpoint;
	uint8_t flags;
};

/* The policy has been asked of a batch that is free to go anywhere, or has rejected one. */
void last_route_judged(struct client *c, const struct verdict *verdict);

/* A batch goes to this endpoint. `bound`: its block or session is there, whatever the verdict. */
void last_route_sent(struct client *c, const struct endpoint *endpoint, bool bound);

/* "route=replicas endpoint=db2 rule=reports"; "" before the first query. */
void last_route_text(const struct client *c, char *text, size_t size);

#endif
