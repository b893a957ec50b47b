/* places.h - where the library finds its Lua files. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_API_PLACES_H
#define MOONGATE_API_PLACES_H

#include <limits.h>

#define PLACES_SIZE (2 * PATH_MAX + 64)

/* Writes a package.path to `path` (PLACES_SIZE bytes), and returns it. */
const char *places_lua_path(char *path);

#endif
