/* hooks.h - the script's functions beside its policy's `route`: behind the same fence, and taken
 * out one by one where they keep failing. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_HOOKS_H
#define MOONGATE_SCRIPT_HOOKS_H

#include "script/policy_lua.h"
#include "script/state.h"

#define HOOK_INSTRUCTIONS 1000000 /* VM instructions per call */

/* Runs `body` with `arg` as a light userdata, protected and fenced, on the state's own thread. An
 * error is counted and logged as one of `what`. False: that was the last time, there were too many.
 */
bool hook_call(struct state *state, struct hook_health *health, const char *what,
               lua_CFunction body, void *arg);

/* Takes the hooks of the table on top of the stack for the policy of the cluster at `cluster`, an
 * absolute index. Raises, blaming the caller, where one is no function. */
void hooks_take(lua_State *L, int cluster, struct policy *policy);

/* bind_timer.c: those of moongate.every(). A router's run from timers_start() on. */
void timers_start(struct state *state);

#endif
