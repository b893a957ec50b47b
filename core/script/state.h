/* state.h - what moongate keeps for one Lua state: the loop that its handles live on, the fence
 * around its policies, and how its handles are recognized.
 *
 * Made by the embedded module when it is first required, or by script_load() for the router's. It
 * lies in the registry, under a key of its own; there is nothing in C globals, so that several
 * states of one process do not know of each other. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_STATE_H
#define MOONGATE_SCRIPT_STATE_H

#include "cluster/alarms.h"
#include "cluster/context.h"
#include "script/fence.h"
#include "script/tasks.h"
#include "sql/classifier.h"

#include <lua.h>
#include <stdbool.h>

/* The handles that C code has to tell apart fast. */
enum handle_type { HANDLE_ENDPOINT, HANDLE_REJECTION, HANDLE_TYPES };

struct policy;
struct policy_rule;
struct query_handle;
struct timer;

struct state {
	struct context *context; /* the router's, or that of its own home */
	struct home *home;       /* NULL in the router */
	unsigned entered; /* by calls under way: those of tasks are inside of moongate.run() */
	bool driven;      /* a foreign loop runs ours: see foreign.h */
	struct list waiting, polled; /* struct blocking: those of operations, and of conditions */
	struct list answered;        /* of those, what foreign loops have to be told of */
	struct list flows;           /* struct flow_handle: those that are under way */
	struct list noticed;         /* struct cluster_handle: see on_notice.h */
	unsigned lent;               /* servers that connections and transactions hold */
	ev_timer reclaim;            /* reclaim.h: looks again; and not before: */
	double reclaim_at;
	struct tasks tasks;
	bool embedded;   /* it may run the loop: queries, health; not so inside of the router */
	bool hosted;     /* and the loop is a program's, which runs it all the time: see embed.h */
	ev_prepare turn; /* hosted: resumes tasks */
	ev_idle busy;    /* hosted: while some are ready already */
	struct classifier *classifier;       /* made at first need, and: */
	struct classifier *asked_classifier; /* for statements that a policy or a hook names */
	struct fence fence;
	bool loading;      /* a script is: what it makes stays */
	lua_State *thread; /* where functions run that nobody's code calls; it stays empty */
	struct timer *timers;
	struct policy *building;          /* whose factory runs */
	const struct query_handle *asked; /* what a policy is being asked with; NULL: none is */
	const struct policy_rule *rule;   /* the one that decides of the query being asked about */
	unsigned asking;                  /* policies that are being asked, inside of one another */
	const void *types[HANDLE_TYPES];  /* their metatables, by lua_topointer() */
};

/* What a state has of its own, outside of the router. */
struct home {
	struct context context;
	struct alarms alarms; /* the context's */
	int fd;               /* the loop's, of foreign.h; -1: not known */
	int alarm_fd;         /* a timerfd for loops without timers; -1: none is needed */
	int timed_fd;         /* an epoll of these two */
	unsigned called;      /* callbacks of the loop's so far */
	double left;          /* when state_leave() was called last */
	struct home *before; /* the parent's, in a child of fork(): its clusters may be there yet */
};

/* `context` NULL: an embedded one, with a loop of its own, that goes with the Lua state. Raises
 * when out of memory. */
struct state *state_new(lua_State *L, struct context *context);

/* The state's, or NULL before state_new(). */
struct state *state_of(lua_State *L);

/* Its facts are good until it is asked of other statements. While a policy or a hook runs it is
 * another, so that the facts which that is given stay. Raises when out of memory. */
struct classifier *state_classifier(lua_State *L, struct state *state);

/* The handle of this type at `index`, or NULL. Neither raises nor allocates. */
void *state_handle(lua_State *L, const struct state *state, int index, enum handle_type type);

/* Raises, blaming the caller, where waiting has no place: in a routing script, inside of a policy.
 * `what` is "cluster:query". */
void state_check(lua_State *L, const struct state *state, const char *what);

/* In a child of fork() all that there was is the parent's: the state gets a loop of its own. Raises
 * when there are no memory or descriptors for one. */
void state_settle(lua_State *L, struct state *state);

/* Raises where this is a child of the process that `context` was made in; what waited there can't
 * be waited for. */
void state_check_own(lua_State *L, const struct context *context);

/* The loop runs between these two calls only, and no time passes for its timers outside of them,
 * unless it is a program's; pairs of them nest, in any order. Raises as state_check(). */
void state_enter(lua_State *L, struct state *state, const char *what);
void state_leave(struct state *state);

#endif
