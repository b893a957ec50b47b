/* sandbox.h - the libraries of a routing script: Lua without a way out.
 *
 * Left out: io, debug, os but for time and environment, dofile and loadfile, C modules, bytecode.
 * Changed: setmetatable() refuses __gc, since finalizers run with hooks off; coroutines end their
 * errors inside of themselves, for the same reason; print() writes to the log. With that nothing in
 * Lua escapes the fence. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_SANDBOX_H
#define MOONGATE_SCRIPT_SANDBOX_H

#include <lua.h>

/* After state_new(). `lua_path` is where `require` looks. Raises when out of memory. */
void sandbox_open(lua_State *L, const char *lua_path);

#endif
