/* admin.h - what the router tells of itself, and is told, over HTTP: docs/configuration.md has the
 * pages.
 *
 * There is no authentication: it belongs on loopback, and a warning is logged where it is not. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_ADMIN_H
#define MOONGATE_ROUTER_ADMIN_H

#include <stdbool.h>
#include <stddef.h>

struct admin;
struct worker;

/* `address` as address_listen() takes it. On failure NULL, and `error` says why. */
struct admin *admin_new(struct worker *worker, const char *address, char *error, size_t error_size);
void admin_free(struct admin *admin); /* NULL is fine */

/* Answers those who are connected, and is gone then; NULL is fine. */
void admin_retire(struct admin *admin);

/* The worker's, and all that are retired, at once: it ends. */
void admin_stop(struct worker *worker);

#endif
