/* fields.h - a C function's options, from a table that lua/moongate/options.lua has checked.
 *
 * What is wrong with a value is said there, in the user's terms; these raise all the same rather
 * than take a value of another type. Strings live as long as the table holds them. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_FIELDS_H
#define MOONGATE_SCRIPT_FIELDS_H

#include <lua.h>
#include <stdbool.h>

/* nil gives `otherwise`. `table` is an absolute index. */
double take_number(lua_State *L, int table, const char *key, double otherwise);
unsigned take_count(lua_State *L, int table, const char *key, unsigned otherwise);
const char *take_string(lua_State *L, int table, const char *key, const char *otherwise);
bool take_flag(lua_State *L, int table, const char *key); /* nil is false */

/* The place of the string in `names`, which ends with NULL; `otherwise` for nil. */
int take_choice(lua_State *L, int table, const char *key, const char *const *names, int otherwise);

/* Pushes the table (or nil) and says whether there is one. */
bool take_table(lua_State *L, int table, const char *key);

#endif
