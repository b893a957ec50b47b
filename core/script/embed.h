/* embed.h - the Lua module in a program that has a libev loop of its own, and runs it.
 *
 * Tasks of moongate.spawn() go on whenever the loop turns: before it waits for events, those that
 * are ready are resumed. What blocks outside of tasks runs the program's loop from where it is
 * called. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_EMBED_H
#define MOONGATE_SCRIPT_EMBED_H

#include "cluster/context.h"

#include <lua.h>
#include <stdbool.h>

/* Makes `require "moongate"` in L work on the context's loop; its files are also looked for at
 * `lua_path`, behind package.path. The context must outlive L. False: out of memory, or L has
 * moongate's state already. */
bool embed(lua_State *L, struct context *context, const char *lua_path);

/* Adds its functions to the table on top of the stack. */
void open_embed(lua_State *L);

#endif
