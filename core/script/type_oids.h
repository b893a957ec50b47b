/* type_oids.h - the types that have a Lua value of their own: src/include/catalog/pg_type.dat. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_TYPE_OIDS_H
#define MOONGATE_SCRIPT_TYPE_OIDS_H

#include <libpq-fe.h>

enum {
	TYPE_BOOL = 16,
	TYPE_BYTEA = 17,
	TYPE_NAME = 19,
	TYPE_INT8 = 20,
	TYPE_INT2 = 21,
	TYPE_INT4 = 23,
	TYPE_TEXT = 25,
	TYPE_OID = 26,
	TYPE_BOX = 603,
	TYPE_FLOAT4 = 700,
	TYPE_FLOAT8 = 701,
	TYPE_BPCHAR = 1042,
	TYPE_VARCHAR = 1043,
	TYPE_NUMERIC = 1700
};

/* Of one of PostgreSQL's own array types; 0: it is none. */
Oid type_element(Oid array);

#endif
