/* http.h - a small HTTP server on the worker's loop: no threads, and it never blocks.
 *
 * One request per connection; whoever is slow, or sends much, is cut off. libmicrohttpd speaks, and
 * nothing outside of http.c knows it. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_HTTP_H
#define MOONGATE_ROUTER_HTTP_H

#include <ev.h>
#include <stddef.h>
#include <stdio.h>

#define HTTP_CONNECTIONS 16    /* at once; the others wait in the kernel's queue */
#define HTTP_SECONDS     10    /* that one may take */
#define HTTP_HEAD        16384 /* bytes of request line and headers */
#define HTTP_BODY        65536 /* bytes of a body, which nobody reads */

struct http;
struct http_exchange;

struct http_request {
	const char *method, *path;
	struct http_exchange *exchange;
};

/* A header's value, or NULL. */
const char *http_header(const struct http_request *request, const char *name);

/* What comes of "?name=value": decoded, valid during the call; NULL: not there. */
const char *http_argument(const struct http_request *request, const char *name);

struct http_response {
	unsigned status;   /* 200 unless set */
	const char *type;  /* static; "application/json" unless set */
	const char *allow; /* static; the methods that there are, for 405 */
	FILE *body;        /* to be written to */
};

/* Runs once per request. */
typedef void http_handler(const struct http_request *request, struct http_response *response,
                          void *arg);

/* Takes over `fd`, which listens. NULL: out of memory, and `fd` is closed. */
struct http *http_new(struct ev_loop *loop, int fd, http_handler *fn, void *arg);

/* Not from within the handler; NULL is fine. */
void http_free(struct http *http);

/* Takes no more connections, and frees itself, then `arg` by `free_arg`, when those that are there
 * have ended. */
void http_retire(struct http *http, void (*free_arg)(void *arg));

#endif
