/* fetch.h - one HTTP GET at a time on the loop, which it never blocks (libcurl).
 *
 * Names are looked up by resolver.h, not by libcurl's threads. No redirect is followed, no proxy is
 * asked, whatever the environment says. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_FETCH_H
#define MOONGATE_CLUSTER_FETCH_H

#include "base/status.h"
#include "cluster/context.h"

#include <stdbool.h>
#include <stddef.h>

#define FETCH_BODY (1u << 20) /* bytes that an answer may have */

struct fetch;

/* Runs exactly once per fetch_start() that was not cancelled, never before it has returned. `body`
 * is the answer's, if it came with status 200; else NULL, and `reason` says why. May start the next
 * one, or free it. */
typedef void fetched_fn(const char *body, size_t size, const char *reason, void *arg);

/* `ca`: a file of certificates to trust, and no others; NULL: those of the system. NULL: out
 * of memory. */
struct fetch *fetch_new(struct context *context, const char *ca, fetched_fn *fn, void *arg);
void fetch_free(struct fetch *fetch); /* NULL is fine; unheard */

/* None may be under way. `url` is copied; `timeout` is in seconds, and of all that it takes. */
void fetch_start(struct fetch *fetch, const char *url, double timeout);
void fetch_cancel(struct fetch *fetch); /* fine when none is under way */

/* "host:port" of a URL, for messages: what else it says may be secret. False: it is no http:// or
 * https:// URL, and `place` says why. */
bool fetch_place(const char *url, char *place, size_t size);

#endif
