/* misuse.h - errors that blame the application's line, not one of moongate's own Lua files. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_MISUSE_H
#define MOONGATE_SCRIPT_MISUSE_H

#include <lua.h>
#include <stdbool.h>

/* Raises like luaL_error(), with the position of the innermost Lua function that is not moongate's
 * own. */
int misuse(lua_State *L, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

/* Pushes that position, "file:line", or "". */
void misuse_where(lua_State *L);

/* Whether a chunk is one of moongate's own files; `source` as lua_Debug has it. */
bool misuse_is_own(lua_State *L, const char *source);

/* core.own(): the file that calls it is moongate's own. core.misuse(message): as misuse();
 * core.where(): the position that it would blame. */
void open_misuse(lua_State *L);

#endif
