/* patience.h - how long an application says that it will wait. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_PATIENCE_H
#define MOONGATE_SCRIPT_PATIENCE_H

#include <lua.h>

/* The argument at `index`: seconds, 0 or more; INFINITY where there is none. Raises, blaming the
 * caller, where it is something else. `what` is "pool:acquire". */
double take_patience(lua_State *L, int index, const char *what);

#endif
