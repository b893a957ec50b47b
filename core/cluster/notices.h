/* notices.h - what PostgreSQL says beside its answers (RAISE NOTICE, warnings), kept for whoever
 * listens until he takes it.
 *
 * libpq hands a notice over in the middle of reading, where nothing may be called; so it is copied.
 * Of the servers of pools alone; what comes to probes and the like is nobody's concern. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_NOTICES_H
#define MOONGATE_CLUSTER_NOTICES_H

#include "base/list.h"

#include <libpq-fe.h>
#include <stdint.h>

#define NOTICES_KEPT  1000    /* at most: what comes beyond is dropped, and counted; */
#define NOTICES_BYTES 1048576 /* and of these so many in sum */
#define NOTICE_FIELD  32768   /* bytes of a field at most: the rest is cut off */

struct cluster;
struct notice;

/* The first of them has come. Called from inside of libpq: it may note that, and nothing else. */
typedef void notices_waiting_fn(void *arg);

/* Inside of its cluster. Zero: nobody listens. */
struct notices {
	notices_waiting_fn *fn;
	void *arg;
	struct list kept;
	unsigned count;
	size_t bytes;
	uint64_t dropped; /* since the last that was taken */
};

/* From now on; one listener at most. */
void notices_listen(struct cluster *cluster, notices_waiting_fn *fn, void *arg);

/* Nobody listens any more, and nothing is kept. Fine where nobody does. */
void notices_stop(struct cluster *cluster);

/* libpq's PQnoticeReceiver, of a struct server. */
void notices_receive(void *server, const PGresult *notice);

/* The oldest of them, for the caller to free(); NULL: there are no more. */
struct notice *notices_take(struct cluster *cluster);

/* As PQresultErrorField(). */
const char *notice_field(const struct notice *notice, int field);

/* The name of the endpoint that it came from. */
const char *notice_endpoint(const struct notice *notice);

#endif
