/* readonly.h - tables that scripts read as ever, and cannot write.
 *
 * All policies of a script share one Lua state, its libraries and its globals: what one of them
 * changes there, the others would meet. Such a table is emptied into another one that is reached
 * through its metatable only: __index, __pairs, and next() and rawget() of the sandbox, read there;
 * __newindex and rawset() refuse. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_READONLY_H
#define MOONGATE_SCRIPT_READONLY_H

#include <lua.h>

/* Makes the table on top read-only. `refusal` is what a script is told that writes to it, a format
 * for a field's name: "string.%s cannot be set: ...". Twice is once. */
void readonly_freeze(lua_State *L, const char *refusal);

/* Replaces the table on top by a read-only view of it. */
void readonly_view(lua_State *L, const char *refusal);

/* Replaces those functions of the base library, on top of the stack, that look past metatables. */
void readonly_open(lua_State *L);

#endif
