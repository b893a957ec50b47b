/* shadow_lua.h - a shadow as the script room sees it: the Lua side of shadow.h. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_SHADOW_LUA_H
#define MOONGATE_SCRIPT_SHADOW_LUA_H

#include "script/policy_lua.h"
#include "script/shadow.h"

/* A userdata, which its cluster's keeps. */
struct shadow {
	struct policy policy;
	struct shadow_counts counts;
	double logged; /* when a difference was last */
};

#endif
