/* hash.h - XXH3, compiled in.
 *
 * libpg_query exports an XXH3 of its own, of another version: which of the two a call found would
 * hang on the order of the libraries. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_HASH_H
#define MOONGATE_SQL_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#endif
