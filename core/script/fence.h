/* fence.h - a budget of VM instructions for a stretch of Lua code that the code cannot escape.
 *
 * A count hook takes FENCE_INTERVAL instructions at a time off the budget. Once it is used up the
 * hook runs at every instruction and raises each time, so that a pcall of the script's only wins it
 * one more instruction. What it raises is a memory error: the only kind that calls no message
 * handler, which would run inside of the hook, where hooks are off.
 *
 * Not covered: a single long call into C (a pathological pattern), and, in an application's own Lua
 * state, its finalizers and the coroutines that it made outside of a fenced call. The router's
 * sandbox closes both of the latter. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_FENCE_H
#define MOONGATE_SCRIPT_FENCE_H

#include <lua.h>
#include <stdbool.h>

#define FENCE_INTERVAL 1000

/* One per Lua state. Zero is "not inside of a fenced call". */
struct fence {
	bool permanent; /* the state is ours and so are its hooks: they stay set between calls */
	unsigned depth; /* fenced calls inside of one another share the outermost one's budget */
	bool expired;
	long left;       /* instructions */
	char where[128]; /* "FILE:LINE", where the budget ran out */
};

/* What fence_enter() found and fence_leave() puts back: an application's own debug hook. */
struct fence_saved {
	lua_Hook hook;
	int mask, count;
};

/* For a state that is ours: this thread, and all that are made from it, are watched for good. */
void fence_own(lua_State *L, struct fence *fence);

/* `fence` is the one of L's state: see state_of(). Neither call raises or allocates. */
void fence_enter(lua_State *L, struct fence *fence, long instructions, struct fence_saved *saved);
void fence_leave(lua_State *L, struct fence *fence, const struct fence_saved *saved);

/* Takes from the budget what the hook cannot see; raises when nothing is left. */
void fence_charge(lua_State *L, struct fence *fence, long instructions);

#endif
