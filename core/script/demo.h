/* demo.h - `moongate demo`: runs lua/moongate/demo.lua in a Lua state without the sandbox. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_DEMO_H
#define MOONGATE_SCRIPT_DEMO_H

/* `program` is the path of this executable, `arguments` end with NULL. Returns the exit status. */
int demo_run(const char *program, char **arguments, const char *lua_path, const char *scripts);

#endif
