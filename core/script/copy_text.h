/* copy_text.h - Lua values as a row in COPY's text format (the manual's COPY, "Text Format"). */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_COPY_TEXT_H
#define MOONGATE_SCRIPT_COPY_TEXT_H

#include "cluster/flow.h"

#include <lua.h>

/* Puts the list at `index` as one row: nil and NULL are \N; its length is `n` where it has that.
 * Raises on a value that no column can have, in the caller's line. */
void copy_text_row(lua_State *L, int index, struct flow *flow);

#endif
