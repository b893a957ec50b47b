/* wrap.h - a function of a library, replaced by one that calls it. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_WRAP_H
#define MOONGATE_SCRIPT_WRAP_H

#include "script/fence.h"

#include <lauxlib.h>
#include <lua.h>

/* Upvalues of what replaces it. */
enum { WRAPPED = 1, WRAPPED_FENCE = 2 };

/* Replaces the fields of these names of the table on top. `fence` is the one of L's state. */
void wrap_fields(lua_State *L, const luaL_Reg *wrappers, struct fence *fence);

/* For a wrapper: calls what it replaces with all of its own arguments, and returns all results. */
int call_wrapped(lua_State *L);

/* For a wrapper: fence_charge(). */
void charge(lua_State *L, long instructions);

#endif
