/* types.h - PostgreSQL's values, as the texts that they arrive as, to Lua's.
 *
 * Integers, floats, bool and bytea have values of their own; arrays are tables; all else stays
 * text, unless the cluster has a decoder for it: cluster:type(). */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_TYPES_H
#define MOONGATE_SCRIPT_TYPES_H

#include <libpq-fe.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

/* Pushes the value that the text means; a zero follows it. */
typedef void push_text_fn(lua_State *L, const char *text, size_t size);

/* How the values of one type are decoded, or the elements of one array type. */
struct decoder {
	push_text_fn *push;
	int function;   /* the cluster's own, at this index of the stack; 0: `push` is */
	char delimiter; /* between elements; 0: it is no array */
};

/* Pushes the decoder's function where it is the cluster's. `types` is the index of the table of
 * those, or of nil. */
struct decoder type_decoder(lua_State *L, int types, Oid type);

/* Pushes the value. Raises what the cluster's function raises. */
void push_decoded(lua_State *L, const struct decoder *decoder, const char *text, size_t size);

/* Pushes the table that an array's text means, its NULLs as moongate.NULL; false: it is no array's
 * text, and nothing is pushed. */
bool push_array(lua_State *L, const struct decoder *of, const char *text, size_t size);

/* Adds core.set_type(cluster, oid, how) to the table on top: `how` is a function(text), the OID of
 * an array's elements, or "float". */
void open_types(lua_State *L);

#endif
