/* embed_lua.c - moongate_open_lua(): a program's own Lua state. */
/* SPDX-License-Identifier: MIT */
#include "api/api.h"
#include "api/places.h"
#include "script/embed.h"

bool moongate_open_lua(struct moongate *m, struct lua_State *L)
{
	char lua_path[PLACES_SIZE];
	return m->context.loop &&
	       embed(L, &m->context, m->lua_path ? m->lua_path : places_lua_path(lua_path));
}
