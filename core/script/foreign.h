/* foreign.h - waiting by a foreign loop, as of cqueues: it polls the descriptor of ours, and what
 * waits in its coroutines yields to it.
 *
 * Which loop that is, and how one yields to it, is Lua's: lua/moongate/loops.lua. It has one of a
 * loop's coroutines poll for all of them; after each turn of our loop, whoever has run it, those
 * are woken that have been answered. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_FOREIGN_H
#define MOONGATE_SCRIPT_FOREIGN_H

#include "script/blocking.h"

/* Whether L is a coroutine that a foreign loop runs. If so, pushes what stands for that loop. */
bool foreign_here(lua_State *L);

/* Raises in such a coroutine, where tasks of our own (`what`: "moongate.run") have no place. */
void foreign_refuse(lua_State *L, const char *what);

/* Goes on with b->then after blocking_finish(), as blocking_await() does; after foreign_here(). */
int foreign_await(lua_State *L, struct blocking *blocking);

/* It has been answered: remembers to wake it. */
void foreign_answered(struct blocking *blocking);

/* Wakes those. */
void foreign_wake(struct state *state);

/* It waits no longer; fine when it does not. */
void foreign_end(struct blocking *blocking);

#endif
