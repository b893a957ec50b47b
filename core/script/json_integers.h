/* json_integers.h - integers for a decoder of JSON that makes floats of all numbers. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_JSON_INTEGERS_H
#define MOONGATE_SCRIPT_JSON_INTEGERS_H

#include <lua.h>

/* Adds core.with_integers(decode) to the table on top: a function that returns what `decode` does,
 * where floats that are whole numbers, and exact, are integers. The tables are changed. */
void open_json_integers(lua_State *L);

#endif
