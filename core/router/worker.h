/* worker.h - one thread's whole world: loop, script, caches, clients. Ten workers are ten of these.
 */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_WORKER_H
#define MOONGATE_ROUTER_WORKER_H

#include "base/buffer.h"
#include "base/list.h"
#include "cluster/context.h"
#include "router/batch.h"
#include "router/cancel_key.h"
#include "router/descriptors.h"
#include "router/reload.h"
#include "router/settings.h"
#include "router/statement.h"
#include "script/script.h"
#include "sql/classifier.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#define WORKER_BUFFER (64 * 1024) /* bytes that one read may bring */

struct admin;
struct client;
struct listener;
struct welcome;

struct worker {
	struct context context;
	struct script *script;
	const char *path, *listen;     /* the script's; what overrides its address, or NULL */
	struct script_options options; /* as worker_init() was given them */
	struct reloads reloads;
	struct list retired; /* clusters of scripts that were: servers of theirs are still lent */
	struct list seeking; /* exchanges that look for a server again, while reload() is at it */
	struct classifier *classifier;
	struct listener *listener;
	struct admin *admin; /* NULL: none */
	struct list retired_admins;
	struct descriptors descriptors;
	struct list clients;
	struct list replications;
	struct list gone; /* clients that have ended, until their memory is freed */
	ev_prepare burial;
	ev_check turn;
	double now; /* clock_now() when the loop last woke up: for what is only measured */
	struct cancel_keys keys;  /* who holds which cancel key */
	struct welcome *welcomes; /* uthash: what clients like one are greeted with */
	struct list spare;        /* exchanges to use again */
	struct list washing;      /* servers that are being cleaned */
	struct list mirrors;      /* copies of reads: mirror.h */
	unsigned mirror_count;
	struct settings_table settings;
	struct statement_table statements;
	uint64_t catalog_epoch;  /* grows with every statement that changes a catalog */
	struct buffer rewritten; /* what was made of the batch that is being sent: see rewrite.h */
	struct buffer touched;   /* for the batch that is being read: see batch.h */
	struct batch_tables tables; /* likewise */
	ev_timer ticker;
	double pins_counted;  /* when the log told of pins and counters last */
	double started, tick; /* s; from then to the last tick, see timeouts.h */
	struct list cancels;  /* cancel requests under way */
	unsigned cancel_count, client_count;
	ev_async cancel_done;
	ev_signal terminate, interrupt, hangup, pause, resume;
	bool draining;
	uint8_t *bytes; /* WORKER_BUFFER of them: what was read last, forwarded from here */
};

/* Loads the script and listens; `listen` overrides what the script says. The strings must outlive
 * the worker, which reloads the script on SIGHUP. On failure false, and
 * `error` says why; worker_free() cleans up in any case. */
bool worker_init(struct worker *w, const char *script, const char *listen,
                 const struct script_options *options, char *error, size_t error_size);

/* Runs until SIGTERM or SIGINT. */
void worker_run(struct worker *w);

/* What the clusters have counted (counters.h) since this was told last: for the log. */
void worker_tell_counts(struct worker *w);

void worker_free(struct worker *w);

#endif
