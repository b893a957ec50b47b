/* module.h - `require "moongate.core"`: the C side of the Lua module. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_MODULE_H
#define MOONGATE_SCRIPT_MODULE_H

#include <lua.h>

/* Makes an embedded state where script_load() has not made the router's. */
__attribute__((visibility("default"))) int luaopen_moongate_core(lua_State *L);

#endif
