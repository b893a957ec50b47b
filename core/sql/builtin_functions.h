/* builtin_functions.h - which of PostgreSQL's own functions may run on a replica. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_BUILTIN_FUNCTIONS_H
#define MOONGATE_SQL_BUILTIN_FUNCTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All that are called `name` only read, and say the same on every node. */
bool builtin_function_is_safe(const char *name);

#endif
