/* sandbox.h - the libraries of a routing script: Lua without a way out.
 *
 * Left out: io, debug, os but for time and environment, dofile and loadfile, C modules, bytecode,
 * package but for what is loaded and where from.
 * Changed: setmetatable() refuses __gc, since finalizers run with hooks off; coroutines end their
 * errors inside of themselves, for the same reason; print() writes to the log; pcall() and xpcall()
 * let an error through that the fence has raised.
 * Charged for, in instructions, since C code does not count: patterns (strings.h: 8 steps each);
 * string.rep, searches for plain text, collections (64 bytes each); tonumber, the rest of string,
 * utf8 (8 bytes each); table.insert and remove in the middle, move, unpack, concat, sort (an
 * element each; no tables with __len); select; load (8 a byte); print (500), require of what is not
 * loaded (1000), a coroutine (FENCE_INTERVAL). Read-only, so that policies that share the state do
 * not meet: the libraries, moongate's modules, the metatable of strings and, once the script is
 * loaded, all globals. Modules of the script's own are shared as they are. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_SANDBOX_H
#define MOONGATE_SCRIPT_SANDBOX_H

#include <lua.h>

/* After state_new(). `lua_path` is where `require` looks. Raises when out of memory. */
void sandbox_open(lua_State *L, const char *lua_path);

/* Once the script has run: its globals are read-only from now on. Raises when out of memory. */
void sandbox_freeze(lua_State *L);

#endif
