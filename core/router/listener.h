/* listener.h - a port that clients connect to. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_LISTENER_H
#define MOONGATE_ROUTER_LISTENER_H

#include <stddef.h>

struct listener;
struct worker;

/* `address` is "host:port", "[v6]:port" or ":port" (all addresses). On failure NULL, and `error`
 * says why. Running out of descriptors pauses accepting, with one log line, until some are free
 * again. */
struct listener *listener_new(struct worker *worker, const char *address, char *error,
                              size_t error_size);
void listener_free(struct listener *listener); /* NULL is fine */

#endif
