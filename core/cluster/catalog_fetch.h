/* catalog_fetch.h - one look at one database's catalog: connect, ask, read, build. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_CATALOG_FETCH_H
#define MOONGATE_CLUSTER_CATALOG_FETCH_H

#include "cluster/exec.h"
#include "sql/catalog_builder.h"

#define CATALOG_DIGEST 64 /* bytes of what tells one state of a catalog from another */

struct catalog_fetch;

/* Runs exactly once per catalog_fetch_start() that was not cancelled, never inside of it. `catalog`
 * is the callee's; NULL with ST_OK: nothing has changed. Else `reason` (valid during the call) says
 * why; `sqlstate` is PostgreSQL's, or "". */
typedef void catalog_fetched_fn(struct catalog_fetch *fetch, enum status status,
                                struct catalog *catalog, const char *sqlstate, const char *reason);

/* Embedded in the caller. Zero is "not under way". */
struct catalog_fetch {
	struct context *context; /* NULL: not under way */
	catalog_fetched_fn *fn;
	const struct catalog_overrides *overrides;
	char known[CATALOG_DIGEST]; /* "": nothing */
	char digest[CATALOG_DIGEST];
	struct server *server;
	struct exec exec;
	ev_timer timer; /* the next slice */
	PGresult *rows;
	int row;
	struct catalog_builder *builder;
};

struct catalog_fetch_request {
	struct endpoint *endpoint;
	const char *user, *database; /* see server_open(); must stay until the callback */
	double connect_timeout;      /* s */
	const char *known;           /* the digest of what is known; "": nothing */
	const struct catalog_overrides *overrides; /* must stay, too */
};

/* ST_ENOMEM: it has not begun, the callback will not run. */
enum status catalog_fetch_start(struct catalog_fetch *fetch,
                                const struct catalog_fetch_request *request,
                                catalog_fetched_fn *fn) MUST_CHECK;

/* The callback will not run. Fine when not under way. */
void catalog_fetch_cancel(struct catalog_fetch *fetch);

#endif
