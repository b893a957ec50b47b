/* trial.h - statements tried on a script whose clusters connect nowhere: what `moongate explain`
 * and `moongate replay` have in common. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_TRIAL_H
#define MOONGATE_ROUTER_TRIAL_H

#include "cluster/need.h"
#include "script/script.h"
#include "sql/classifier.h"

#include <stdbool.h>
#include <stddef.h>

#define SITUATION_LIST 64 /* tags, and endpoints, at most */

/* What is the case, as the command line says it; NULL and zero: nothing special. */
struct situation {
	const char *user, *database, *application, *address;
	const char *tags[SITUATION_LIST]; /* "key=value" */
	size_t tag_count;
	const char *endpoints[SITUATION_LIST]; /* "NAME:down", "NAME:lag=3,drained": simulate.h */
	size_t endpoint_count;
	bool in_transaction;
	bool wrote;         /* the session has written, */
	double wrote_since; /* so many seconds ago */
};

struct trial {
	struct script *script;
	struct classifier *classifier;
	const struct script_cluster *home; /* whose policy is asked */
	const struct situation *situation;
	char *comments; /* the tags, to be appended to every statement */
	char *text;     /* the last statement with them */
};

/* Where one statement goes. Valid until the next one is tried. */
struct outcome {
	struct facts facts;
	struct verdict verdict; /* the policy's */
	const char *line;       /* see policy_line() */
	const char *error;      /* why the policy failed; NULL: it has not */
	const char *moved;      /* why it goes elsewhere than the policy says; NULL: it does not */
	struct route *route;    /* by which it goes; NULL: to the endpoint that is named, or
	                           nowhere */
	struct need need;
	struct demand demand;
	struct endpoint *endpoint; /* that it comes to now; NULL: none, it is rejected or waits */
	char wrong[300];           /* a rejection of the router's own */
};

/* Loads the script, simulates its clusters, and makes the situation that of the cluster which
 * serves its database. Both `situation` and the context must outlive the trial. Returns 0, or an
 * exit status: 1, the script is wrong, or 2, the situation is; `error` says how. trial_end() in any
 * case. */
int trial_begin(struct trial *trial, struct context *context, const char *script,
                const struct script_options *options, const struct situation *situation,
                char *error, size_t error_size);
void trial_end(struct trial *trial);

/* The same for a statement of a session in another database; false: no cluster serves it. */
bool trial_move(struct trial *trial, const char *database);

/* Tries one statement, followed by a NUL. False: out of memory. */
bool trial_ask(struct trial *trial, const char *sql, size_t size, struct session_facts *session,
               struct outcome *outcome);

#endif
