/* binary.h - results in PostgreSQL's binary format: where that is faster, which is for float8,
 * whose digits cost both sides most, and bytea, whose text is twice as long.
 *
 * A result has one format for all of its columns, so the others must be of types that are as easy
 * to read in it. Values are the same either way; that is why float4, whose text has fewer digits
 * than the number, is not among them. Formats: the types' send functions (src/backend/utils/adt),
 * big-endian. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_BINARY_H
#define MOONGATE_SCRIPT_BINARY_H

#include "script/types.h"

/* Whether it should come in binary when its statement is run again. */
bool binary_pays(const PGresult *result);

/* Whether results of statements with such columns are ever asked for in binary. */
bool binary_is_known(Oid type);

/* How such a type's binary values are pushed. */
push_text_fn *binary_push(Oid type);

#endif
