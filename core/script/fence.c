/* fence.c - see fence.h. */
/* SPDX-License-Identifier: MIT */
#include "script/fence.h"

#include "base/clock.h"
#include "script/misuse.h"
#include "script/state.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

static void on_count(lua_State *L, lua_Debug *ar);

/* The hook's mask says whether returns are told of, too: coroutines have it from their makers. */
static void watch(lua_State *L, int interval)
{
	int traced = lua_gethookmask(L) & LUA_MASKRET;
	lua_sethook(L, on_count, LUA_MASKCOUNT | traced, interval);
}

/* lua_error() makes a memory error of this very text, without the full collection that running out
 * of memory in earnest begins with. */
static void raise_expired(lua_State *L)
{
	lua_pushliteral(L, "not enough memory");
	lua_error(L);
}

/* The innermost line of Lua that runs. */
static void note_where(lua_State *L, struct fence *fence)
{
	lua_Debug ar;
	fence->where[0] = '\0';
	for (int level = 0; lua_getstack(L, level, &ar); level++) {
		lua_getinfo(L, "Sl", &ar);
		if (ar.currentline <= 0)
			continue;
		snprintf(fence->where, sizeof fence->where, "%s:%d", ar.short_src, ar.currentline);
		return;
	}
}

static bool memory_refused(const struct fence *fence)
{
	return fence->memory && fence->memory->refusal;
}

static void expire(lua_State *L, struct fence *fence)
{
	if (fence->why == FENCE_KEPT)
		fence->why = memory_refused(fence) ? FENCE_MEMORY : FENCE_INSTRUCTIONS;
	if (!fence->expired)
		note_where(L, fence);
	fence->expired = true;
	fence->left = 0;
}

static double cpu_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* The wall clock costs little: the thread's own is asked only where the former makes it likely. The
 * first look may come with any instruction of a call, be it ever so short: it costs nothing. */
static bool time_is_up(struct fence *fence)
{
	if (fence->time <= 0 || fence->looks++ == 0)
		return false;
	double wall = clock_now();
	if (fence->wall_start > 0)
		return wall - fence->wall_start > fence->time &&
		       cpu_now() - fence->cpu_start > fence->time;
	fence->wall_start = wall;
	fence->cpu_start = cpu_now();
	return false;
}

/* A coroutine made inside of a fenced call may outlive it, hook and all. */
static void stand_down(lua_State *L, const struct fence *fence)
{
	if (!fence->permanent)
		lua_sethook(L, NULL, 0, 0);
	else if (lua_gethookcount(L) != FENCE_INTERVAL)
		watch(L, FENCE_INTERVAL);
}

/* What returns last is what has decided: a line that only was the last to run may be another's. */
static void note_return(lua_State *L, struct fence *fence, lua_Debug *ar)
{
	lua_getinfo(L, "Sl", ar);
	if (ar->currentline <= 0 || misuse_is_own(L, ar->source))
		return;
	const char *file = *ar->source == '@' ? ar->source + 1 : ar->short_src;
	snprintf(fence->line, sizeof fence->line, "%s:%d", file, ar->currentline);
}

static void on_count(lua_State *L, lua_Debug *ar)
{
	struct fence *fence = &state_of(L)->fence;
	int interval = lua_gethookcount(L);
	if (ar->event == LUA_HOOKRET) {
		note_return(L, fence, ar);
		return;
	}
	if (fence->depth == 0) {
		stand_down(L, fence);
		return;
	}
	fence->left -= interval;
	if (fence->left > 0 && time_is_up(fence)) {
		fence->why = FENCE_TIME;
		fence->left = 0;
	}
	if (fence->left > 0) {
		if (interval != FENCE_INTERVAL)
			watch(L, FENCE_INTERVAL);
		return;
	}
	expire(L, fence);
	watch(L, 1);
	raise_expired(L);
}

void fence_own(lua_State *L, struct fence *fence, struct memory *memory)
{
	fence->permanent = true;
	fence->memory = memory;
	watch(L, FENCE_INTERVAL);
}

void fence_enter(lua_State *L, struct fence *fence, const struct fence_limits *limits,
                 struct fence_saved *saved)
{
	if (fence->depth++ > 0)
		return;
	fence->left = limits->instructions;
	fence->time = limits->time;
	fence->looks = 0;
	fence->wall_start = 0;
	fence->expired = false;
	fence->why = FENCE_KEPT;
	if (fence->memory)
		memory_begin(fence->memory, limits->bytes, limits->string, &fence->left);
	if (fence->permanent)
		return;
	*saved = (struct fence_saved){lua_gethook(L), lua_gethookmask(L), lua_gethookcount(L)};
	watch(L, FENCE_INTERVAL);
}

/* Memory may have been refused in its last instructions, or outside of any line of Lua. */
void fence_leave(lua_State *L, struct fence *fence, const struct fence_saved *saved)
{
	if (--fence->depth > 0)
		return;
	if (memory_refused(fence) && !fence->expired)
		expire(L, fence);
	if (fence->memory)
		memory_end(fence->memory);
	if (!fence->permanent)
		lua_sethook(L, saved->hook, saved->mask, saved->count);
	else if (fence->expired)
		watch(L, FENCE_INTERVAL);
}

long fence_left(const struct fence *fence)
{
	return fence->depth == 0 ? LONG_MAX : fence->left;
}

void fence_trace(lua_State *L, struct fence *fence, bool on)
{
	*fence->line = '\0';
	lua_sethook(L, on_count, LUA_MASKCOUNT | (on ? LUA_MASKRET : 0), FENCE_INTERVAL);
}

void fence_charge(lua_State *L, struct fence *fence, long instructions)
{
	if (fence->depth == 0)
		return;
	fence->left = fence->left > instructions ? fence->left - instructions : 0;
	fence_check(L, fence);
}

void fence_check(lua_State *L, struct fence *fence)
{
	if (fence->depth == 0 || fence->left > 0)
		return;
	expire(L, fence);
	raise_expired(L);
}
