/* examples.h - what a policy's author expects of it, tried when it is loaded: `tests` of the table
 * that its factory returns. lua/moongate/options.lua has checked their form. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_EXAMPLES_H
#define MOONGATE_SCRIPT_EXAMPLES_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

/* What a factory has made is on top: if it is a table, its examples are kept by the cluster's
 * userdata at `cluster`. Leaves the stack as it was. */
void examples_keep(lua_State *L, int cluster);

/* Tries them on the policy of the cluster at `cluster`, an absolute index, whose endpoints are
 * simulated meanwhile: all are up, and hold all commits. Nothing of that is counted or logged; each
 * is a session of its own. False: `wrong` says which one failed, and how. May raise when memory is
 * short. Before cluster_start(). */
bool examples_run(lua_State *L, int cluster, char *wrong, size_t wrong_size);

/* Adds core.tag_wrong(key, value) to the table on top of the stack: why there can be no such tag,
 * or nil. */
void open_examples(lua_State *L);

#endif
