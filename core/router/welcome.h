/* welcome.h - what a new client is told before its first query: settings, cancel key, readiness.
 *
 * The settings are a real server's, with the client's own applied to it; they are remembered per
 * user, database and startup settings, so that all but the first client like it are welcomed
 * without PostgreSQL. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_WELCOME_H
#define MOONGATE_ROUTER_WELCOME_H

#include "base/buffer.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct client;
struct exchange;
struct server;
struct worker;

/* The client is READY afterwards, or still WELCOMING, or was refused. */
void welcome_client(struct client *c);

/* What a server that was just opened has said of its settings: ParameterStatus messages. */
enum status welcome_read_start(const struct server *server, struct buffer *parameters) MUST_CHECK;

/* Looks again for a server to ask: see relay_seek_again(). */
void welcome_again(struct exchange *x);

/* What clients are greeted with is asked for anew: also where settings have changed on the server.
 */
void welcome_free_all(struct worker *w);

/* `server` was just opened: what it says of its settings is what clients like this one are greeted
 * with, or that is forgotten (ALTER ROLE, ALTER SYSTEM, a new version). */
void welcome_compare(struct client *c, const struct server *server);

/* The ParameterStatus message for `name` that clients like this one are greeted with: false where
 * it is not known any more. */
bool welcome_parameter(struct client *c, const char *name, const uint8_t **message, size_t *size);

#endif
