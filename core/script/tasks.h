/* tasks.h - coroutines that wait for the loop instead of running it: those of moongate.run().
 *
 *  ready --> running --> waiting --> ready ...     waiting: it has yielded, and a struct blocking
 *                  \                               of its own makes it ready again
 *                   +--> over
 *
 * Tasks are resumed by moongate.run() alone, between two turns of the loop and one after the other:
 * never inside of a watcher's callback, never on top of one another. What blocks inside of a task
 * (in a coroutine of its own, in a sort's comparison) runs the loop there; tasks that get ready
 * meanwhile stay so until it has ended. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_TASKS_H
#define MOONGATE_SCRIPT_TASKS_H

#include "base/list.h"

#include <lua.h>
#include <stdbool.h>

struct blocking;
struct state;

/* A userdata. User value 1: its coroutine. The registry keeps it until it is over. */
struct task {
	struct list link; /* while it is ready */
	struct tasks *tasks;
	lua_State *thread;
	int self;                 /* reference in the registry; LUA_NOREF: it is over */
	unsigned turn;            /* in which it became ready */
	struct blocking *waiting; /* what it waits for; NULL: it is ready, or runs */
};

/* One per Lua state, inside of struct state. */
struct tasks {
	struct list ready;    /* in the order of their turns */
	struct task *current; /* the one that runs; NULL: none does */
	unsigned live;        /* that are not over */
	unsigned parked;      /* of those, that wait for others of them and nothing else */
	unsigned turn;
	bool running; /* moongate.run() is under way */
};

void tasks_init(struct tasks *tasks);

/* The task that L is the coroutine of and that may yield here; or NULL. */
struct task *tasks_here(lua_State *L, const struct tasks *tasks);

/* Makes a task of the function and its `count` arguments on top of the stack, and replaces them by
 * it. It begins to run when its turn comes. May raise (memory). */
struct task *task_new(lua_State *L, struct tasks *tasks, int count);

/* It is resumed when its turn comes; from `waiting`, or because it is to begin. */
void task_ready(struct task *task);

/* Ends a task that does not run: what it has to close is closed, what it waits for ends. Returns
 * whether that went well; pushes what was raised otherwise. Fine when it is over. */
bool task_cancel(lua_State *L, struct task *task);

/* Resumes those that are ready now, but not those that get so meanwhile. Raises what a task raises.
 */
void tasks_resume(lua_State *L, struct tasks *tasks);

#endif
