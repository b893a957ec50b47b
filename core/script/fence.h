/* fence.h - a budget for a stretch of Lua code that the code cannot escape: VM instructions, what
 * the libraries' C code does, memory, and, as a last net, time.
 *
 * Instructions: a count hook takes FENCE_INTERVAL at a time off the budget. Once it is used up the
 * hook runs at every instruction and raises each time, so that a pcall of the script's only wins it
 * one more instruction. What it raises is a memory error: the only kind that calls no message
 * handler, which would run inside of the hook, where hooks are off.
 *
 * C code: the router's sandbox (sandbox.h) charges for what takes long, in instructions.
 *
 * Memory: where the state has an allocator of ours, a call may ask for so many bytes in all and for
 * strings of such a size. A refusal uses the budget up (memory.h).
 *
 * Time: some instructions take as long as their operands are large, and tell nobody: comparing long
 * strings, passing on thousands of arguments, next() in a large table that was emptied. So the hook
 * also looks at the thread's CPU clock, in calls of more than FENCE_INTERVAL instructions.
 *
 * Not covered, in an application's own Lua state: its finalizers, the coroutines that it made
 * outside of a fenced call, long calls into C, memory. The router's sandbox closes all of these. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_FENCE_H
#define MOONGATE_SCRIPT_FENCE_H

#include "script/memory.h"

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#define FENCE_INTERVAL 100

/* What a fenced call may use. */
struct fence_limits {
	long instructions;
	size_t bytes;  /* asked for in all, whatever is freed meanwhile; MEMORY_UNLIMITED */
	size_t string; /* size of one string; the same */
	double time;   /* CPU seconds; 0: no limit */
};

enum fence_why { FENCE_KEPT, FENCE_INSTRUCTIONS, FENCE_MEMORY, FENCE_TIME };

/* One per Lua state. Zero is "not inside of a fenced call". */
struct fence {
	bool permanent; /* the state is ours and so are its hooks: they stay set between calls */
	struct memory *memory; /* the state's allocator, where it is ours; or NULL */
	unsigned depth; /* fenced calls inside of one another share the outermost one's budget */
	bool expired;
	enum fence_why why;
	long left;                          /* instructions */
	unsigned looks;                     /* that the hook has taken in this call */
	double time, wall_start, cpu_start; /* s; the starts are 0 until the second look */
	char where[128];                    /* "FILE:LINE", where it expired; "": not known */
	char line[512]; /* traced: the script's own line that has returned last; "" none */
};

/* What fence_enter() found and fence_leave() puts back: an application's own debug hook. */
struct fence_saved {
	lua_Hook hook;
	int mask, count;
};

/* For a state that is ours: this thread, and all that are made from it, are watched for good. */
void fence_own(lua_State *L, struct fence *fence, struct memory *memory);

/* `fence` is the one of L's state: see state_of(). Neither call raises or allocates. After it,
 * `expired` says whether the call used up what it had, whatever it made of the error. */
void fence_enter(lua_State *L, struct fence *fence, const struct fence_limits *limits,
                 struct fence_saved *saved);
void fence_leave(lua_State *L, struct fence *fence, const struct fence_saved *saved);

/* How many instructions may be charged yet; LONG_MAX outside of a fenced call. */
long fence_left(const struct fence *fence);

/* For `moongate explain`, in a state that is ours: notes which line of the script's own code has
 * returned last. Costs a hook per return while it is on, and nothing while it is off. */
void fence_trace(lua_State *L, struct fence *fence, bool on);

/* Takes from the budget what the hook cannot see; raises when nothing is left. */
void fence_charge(lua_State *L, struct fence *fence, long instructions);

/* For what has caught an error: raises again where the budget is used up. */
void fence_check(lua_State *L, struct fence *fence);

#endif
