/* patience.c - see patience.h. */
/* SPDX-License-Identifier: MIT */
#include "script/patience.h"

#include "script/misuse.h"

#include <lauxlib.h>
#include <math.h>

#define LONGEST 1e9 /* s; libev's timers take no infinity */

double take_patience(lua_State *L, int index, const char *what)
{
	int exact;
	if (lua_isnoneornil(L, index))
		return INFINITY;
	double seconds = lua_tonumberx(L, index, &exact);
	if (!exact || !(seconds >= 0 && seconds <= LONGEST))
		misuse(L, "%s: the timeout must be a number of seconds, 0 or more, not %s", what,
		       lua_type(L, index) == LUA_TNUMBER ? lua_tostring(L, index)
		                                         : luaL_typename(L, index));
	return seconds;
}
