/* api.h - what lies behind the opaque types of moongate.h.
 *
 *   moongate_query() --> under way --> due --> its callback, and gone
 *                             \          \
 *                              moongate_cancel(): gone
 *
 * The cluster room calls back from deep inside of itself; callbacks of the program run from a
 * watcher of their own, at the loop's top, where they may do what they like. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_API_API_H
#define MOONGATE_API_API_H

#include "cluster/scopes.h"
#include "moongate.h"
#include "script/loans.h"
#include "script/operation.h"
#include "script/policy.h"
#include "script/script.h"
#include "sql/classifier.h"

struct moongate {
	struct context context;
	struct classifier *classifier;
	char *lua_path; /* NULL: places_lua_path() */
	struct list clusters;
	struct list due;     /* pending ones whose callbacks are to run, in that order */
	ev_watcher deliver;  /* never started, but fed */
	unsigned delivering; /* callbacks that run: one may run the loop, and with it others */
	bool freed;          /* in one of them: it goes when that one has returned */
};

struct moongate_cluster {
	struct moongate *m;
	struct list link; /* in its context's */
	struct cluster *cluster;
	struct script *script; /* whose the cluster is; NULL: our own */
	struct policy *policy; /* NULL: the default routes decide */
	struct catalog_source *catalog;
	struct session_facts session; /* it is one session, as to its policy, so to what it reads */
	double last_write;
	struct need need;
	struct list pending;     /* all that have not had their callbacks */
	struct list connections; /* that are not released */
	struct list loans;       /* of those that have not lost their servers */
};

struct moongate_connection {
	struct list link;
	struct moongate_cluster *cluster; /* NULL: closed */
	struct loan loan;
};

struct moongate_pending {
	struct list link; /* in its cluster's */
	struct list due;  /* in its context's; alone: it is under way */
	struct moongate *m;
	struct moongate_cluster *cluster;       /* NULL: closed */
	struct moongate_connection *connection; /* that it runs on; NULL: none, or released */
	struct moongate_connection *lends;      /* that it borrows for, its own till then */
	moongate_done_fn *fn;
	void *arg;
	struct operation op;
	ev_timer timer;
	double timeout;
	/* What its facts say of it. */
	bool writes, changes, unpins;
	unsigned pins;
	uint64_t key; /* the policy's, and the tables: for what is written, see scopes.h */
	struct tables tables;
	const char *sqlstate, *message; /* how it has failed, if not as `op` says: in `text` */
	char endpoint[128];
	char text[]; /* the statement, its parameters; or a rejection */
};

/* One of the cluster's, with `extra` bytes of text. NULL: out of memory. */
struct moongate_pending *pending_new(struct moongate_cluster *cluster, size_t extra,
                                     moongate_done_fn *fn, void *arg);

/* Its callback is to run; what is under way in `op` must have ended. Fine when it is. */
void pending_due(struct moongate_pending *p);

/* The callback for its operation. */
void pending_done(struct operation *op);

/* It has failed like this, without any operation; the strings stay. */
void pending_fail(struct moongate_pending *p, const char *sqlstate, const char *message);

/* Ends what it has to do with the cluster (or only with the loan, if that is not NULL), as a
 * failure, and makes it due. */
void pending_abort(struct moongate_pending *p, const struct loan *loan, const char *sqlstate,
                   const char *message);

/* query.c, for the delivery: what the cluster learns of it. */
void query_conclude(struct moongate_pending *p);

/* Facts as the classifier has them, good until its next call. */
const struct facts *cluster_facts(const struct moongate_cluster *c, const char *sql);

/* connection.c: they lose their servers. */
void connections_close(struct moongate_cluster *c);

#endif
