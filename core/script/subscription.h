/* subscription.h - a connection of its own to a cluster's primary that hears notifications, and
 * goes wherever the primary goes.
 *
 *                  +------------ lost, or the primary is another ------------+
 *                  v                                                         |
 *  resting --> waiting --> connecting --> asking (LISTEN ...) --> listening -+
 *     ^            | ^          |            |   ^                    |
 *     |            | +- failed -+------------+   +--- other channels -+
 *     +- given up -+
 *
 * Failures are tried again after the delays of the cluster's backoff, or as soon as the primary is
 * another or has come up; when the attempts are spent it rests until it is told to go on. A peer
 * that died without a word is found out by the health checks of its endpoint, or by TCP's own. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_SUBSCRIPTION_H
#define MOONGATE_SCRIPT_SUBSCRIPTION_H

#include "base/list.h"
#include "cluster/cluster.h"
#include "cluster/exec.h"

enum subscription_state {
	SUBSCRIPTION_RESTING,
	SUBSCRIPTION_WAITING,
	SUBSCRIPTION_CONNECTING,
	SUBSCRIPTION_ASKING,
	SUBSCRIPTION_LISTENING
};

/* Kept at most; with so many the connection is not read any more, and PostgreSQL keeps the rest. */
#define SUBSCRIPTION_NOTES 1000

/* One of what there is to be heard. */
struct note {
	struct list link;
	PGnotify *notify; /* NULL: the connection is another; some may have been missed */
};

struct subscription;

/* There is a note, or the state has changed. Must not free it. */
typedef void subscription_told_fn(struct subscription *subscription);

/* Embedded in a handle. Fields are for reading. */
struct subscription {
	struct list link;        /* in its cluster's handle */
	struct cluster *cluster; /* NULL: closed */
	enum subscription_state state;
	subscription_told_fn *told;
	char *sql;                       /* that makes a connection hear what it should */
	unsigned wanted, asked, applied; /* counts of changes of `sql` */
	struct server *server;
	struct exec exec;
	ev_timer timer;     /* in WAITING: until the next attempt */
	ev_prepare prepare; /* each turn of the loop: is this still the primary? */
	unsigned failures;  /* in a row */
	unsigned tried;     /* the serial number of the endpoint of the last attempt */
	double since;       /* when its state has changed last */
	double lost;        /* when one was lost that was then made anew at once */
	bool fresh, heard;  /* the connection is new, and another has listened before: a gap */
	struct list notes;
	unsigned count;
	char sqlstate[6];  /* of the last failure */
	char message[512]; /* the same: which endpoint, what was being done, why */
};

/* `self` is zero. It begins with the first subscription_ask(). */
void subscription_init(struct subscription *self, struct cluster *cluster, struct list *all,
                       subscription_told_fn *told);

/* From now on the connection is to have run this. False: out of memory. */
bool subscription_ask(struct subscription *self, const char *sql);

/* Where it rests: it tries again. */
void subscription_go_on(struct subscription *self);

/* The first note, which is the caller's to free, with free() and PQfreemem(); NULL: none. */
struct note *subscription_take(struct subscription *self);

/* Whether the connection has run what was last asked for. */
bool subscription_current(const struct subscription *self);

/* Fine when it is closed. */
void subscription_close(struct subscription *self);

/* Those of a cluster that is about to be closed. */
void subscriptions_close(struct list *all);

#endif
