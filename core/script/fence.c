/* fence.c - see fence.h. */
/* SPDX-License-Identifier: MIT */
#include "script/fence.h"

#include "script/state.h"

#include <stdio.h>

/* More than any allocator gives, and less than what Lua refuses by an ordinary error. */
#define IMPOSSIBLE_SIZE ((size_t)1 << 62)

static void on_count(lua_State *L, lua_Debug *ar);

static void watch(lua_State *L, int interval)
{
	lua_sethook(L, on_count, LUA_MASKCOUNT, interval);
}

static void raise_expired(lua_State *L)
{
	lua_newuserdatauv(L, IMPOSSIBLE_SIZE, 0);
}

static void note_where(lua_State *L, struct fence *fence, lua_Debug *ar)
{
	lua_getinfo(L, "Sl", ar);
	snprintf(fence->where, sizeof fence->where, "%s:%d", ar->short_src, ar->currentline);
}

/* A coroutine made inside of a fenced call may outlive it, hook and all. */
static void stand_down(lua_State *L, const struct fence *fence)
{
	if (!fence->permanent)
		lua_sethook(L, NULL, 0, 0);
	else if (lua_gethookcount(L) != FENCE_INTERVAL)
		watch(L, FENCE_INTERVAL);
}

static void on_count(lua_State *L, lua_Debug *ar)
{
	struct fence *fence = &state_of(L)->fence;
	int interval = lua_gethookcount(L);
	if (fence->depth == 0) {
		stand_down(L, fence);
		return;
	}
	fence->left -= interval;
	if (fence->left > 0) {
		if (interval != FENCE_INTERVAL)
			watch(L, FENCE_INTERVAL);
		return;
	}
	if (!fence->expired)
		note_where(L, fence, ar);
	fence->expired = true;
	watch(L, 1);
	raise_expired(L);
}

void fence_own(lua_State *L, struct fence *fence)
{
	fence->permanent = true;
	watch(L, FENCE_INTERVAL);
}

void fence_enter(lua_State *L, struct fence *fence, long instructions, struct fence_saved *saved)
{
	if (fence->depth++ > 0)
		return;
	fence->left = instructions;
	fence->expired = false;
	if (fence->permanent)
		return;
	*saved = (struct fence_saved){lua_gethook(L), lua_gethookmask(L), lua_gethookcount(L)};
	watch(L, FENCE_INTERVAL);
}

void fence_leave(lua_State *L, struct fence *fence, const struct fence_saved *saved)
{
	if (--fence->depth > 0)
		return;
	if (!fence->permanent)
		lua_sethook(L, saved->hook, saved->mask, saved->count);
	else if (fence->expired)
		watch(L, FENCE_INTERVAL);
}

void fence_charge(lua_State *L, struct fence *fence, long instructions)
{
	if (fence->depth == 0)
		return;
	fence->left -= instructions;
	if (fence->left > 0)
		return;
	lua_Debug caller;
	if (!fence->expired && lua_getstack(L, 1, &caller))
		note_where(L, fence, &caller);
	fence->expired = true;
	raise_expired(L);
}
