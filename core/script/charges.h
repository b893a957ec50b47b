/* charges.h - functions of Lua's libraries that take as long as their arguments are large, within
 * one call into C: in the sandbox they charge for that beforehand. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_CHARGES_H
#define MOONGATE_SCRIPT_CHARGES_H

#include "script/fence.h"

#include <lua.h>
#include <stddef.h>

/* Instructions for bytes that are moved or compared in bulk, and for those looked at one by one. */
static inline long charge_for_bytes(size_t count)
{
	return (long)(count / 64);
}

static inline long charge_for_characters(size_t count)
{
	return (long)(count / 8);
}

/* Each replaces functions of the library on top of the stack. `fence` is the one of L's state. */
void charge_base(lua_State *L, struct fence *fence);
void charge_string(lua_State *L, struct fence *fence);
void charge_table(lua_State *L, struct fence *fence);
void charge_utf8(lua_State *L, struct fence *fence);

#endif
