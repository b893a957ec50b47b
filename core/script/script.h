/* script.h - a routing script, loaded: what `moongate run`, `check` and `explain` work with.
 *
 * Owns a Lua state of its own, sandboxed: no io, no os.execute, no debug, no bytecode, no C modules
 * beside moongate's core, a cap on memory. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_SCRIPT_H
#define MOONGATE_SCRIPT_SCRIPT_H

#include "cluster/context.h"
#include "script/policy.h"
#include "script/shadow.h"

struct script;

struct script_options {
	const char *lua_path; /* package.path: where `require` looks, after the script's folder */
	size_t memory;        /* cap in bytes; 0: 64 MiB */
};

/* One of the router's clusters: which databases it serves, and who decides. */
struct script_cluster {
	const char *database; /* "*": all that no other entry names */
	struct cluster *cluster;
	struct policy *policy;
	struct shadow *shadow; /* asked beside it; NULL: none */
};

/* Runs the file at `path`, which returns moongate.router{...}. On failure NULL, and `error` says
 * what is wrong and where ("FILE:LINE: ..."). The context must outlive the script; clusters are
 * made, not started. */
struct script *script_load(struct context *context, const char *path,
                           const struct script_options *options, char *error, size_t error_size);
void script_free(struct script *script); /* NULL is fine; frees its clusters and policies too */

/* It is in charge from now on: clusters are started, and timers. */
void script_start(struct script *script);

const char *script_listen(const struct script *script); /* "host:port" */
const char *script_admin(const struct script *script);  /* the same, or NULL: none */

/* Whether what clients say is to be logged: router{ log_queries = true }. */
bool script_log_queries(const struct script *script);

/* The cluster for a database, or NULL. */
const struct script_cluster *script_cluster(const struct script *script, const char *database);

/* The cluster at `index` is the caller's from now on, to be freed with cluster_free(); for the
 * script's own code it is closed. */
struct cluster *script_take_cluster(struct script *script, size_t index);

/* All of them, for starting, stopping and looking at. */
size_t script_cluster_count(const struct script *script);
const struct script_cluster *script_cluster_at(const struct script *script, size_t index);

#endif
