/* fork.c - fork() for Lua tests, which nothing of Debian's offers to Lua 5.4. */
/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* fork(): the child's pid; in the child 0. */
static int make(lua_State *L)
{
	fflush(NULL);
	lua_pushinteger(L, fork());
	return 1;
}

/* wait(pid): its exit status; minus the signal that ended it. */
static int await(lua_State *L)
{
	int status = 0;
	if (waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0) < 0)
		return luaL_error(L, "it is no child");
	lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	return 1;
}

__attribute__((visibility("default"))) int luaopen_fork(lua_State *L);

int luaopen_fork(lua_State *L)
{
	static const luaL_Reg functions[] = {{"fork", make}, {"wait", await}, {NULL, NULL}};
	luaL_newlib(L, functions);
	return 1;
}
