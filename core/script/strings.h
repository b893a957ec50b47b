/* strings.h - string.find, match, gmatch and gsub of the sandbox: Lua 5.4's, but for the time that
 * they may take, which comes off the fence's budget. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_STRINGS_H
#define MOONGATE_SCRIPT_STRINGS_H

#include "script/fence.h"

#include <lua.h>

/* An instruction pays for so many steps of a match (pattern.h). */
#define STEPS_PER_INSTRUCTION 8

/* Replaces them in the table on top of the stack. `fence` is the one of L's state. */
void strings_open(lua_State *L, struct fence *fence);

#endif
