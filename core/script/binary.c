/* binary.c - see binary.h. */
/* SPDX-License-Identifier: MIT */
#include "script/binary.h"

#include "script/type_oids.h"

#include <stdint.h>
#include <string.h>

static uint64_t read_integer(const char *bytes, size_t size)
{
	uint64_t value = 0;
	for (size_t i = 0; i < size; i++)
		value = value << 8 | (unsigned char)bytes[i];
	return value;
}

static void push_bool(lua_State *L, const char *bytes, size_t size)
{
	lua_pushboolean(L, read_integer(bytes, size) != 0);
}

static void push_int2(lua_State *L, const char *bytes, size_t size)
{
	lua_pushinteger(L, (int16_t)read_integer(bytes, size));
}

static void push_int4(lua_State *L, const char *bytes, size_t size)
{
	lua_pushinteger(L, (int32_t)read_integer(bytes, size));
}

static void push_int8(lua_State *L, const char *bytes, size_t size)
{
	lua_pushinteger(L, (lua_Integer)read_integer(bytes, size));
}

static void push_float8(lua_State *L, const char *bytes, size_t size)
{
	uint64_t bits = read_integer(bytes, size);
	double value;
	memcpy(&value, &bits, sizeof value);
	lua_pushnumber(L, value);
}

static void push_bytes(lua_State *L, const char *bytes, size_t size)
{
	lua_pushlstring(L, bytes, size);
}

push_text_fn *binary_push(Oid type)
{
	switch (type) {
	case TYPE_BOOL:
		return push_bool;
	case TYPE_INT2:
		return push_int2;
	case TYPE_INT4:
		return push_int4;
	case TYPE_OID: /* unsigned, and an int8 in Lua */
	case TYPE_INT8:
		return push_int8;
	case TYPE_FLOAT8:
		return push_float8;
	case TYPE_BYTEA:
	case TYPE_TEXT:
	case TYPE_VARCHAR:
	case TYPE_BPCHAR:
	case TYPE_NAME:
		return push_bytes;
	default:
		return NULL;
	}
}

bool binary_is_known(Oid type)
{
	return binary_push(type) != NULL;
}

bool binary_pays(const PGresult *r)
{
	bool pays = false;
	for (int column = 0; column < PQnfields(r); column++) {
		Oid type = PQftype(r, column);
		if (!binary_is_known(type))
			return false;
		pays |= type == TYPE_FLOAT8 || type == TYPE_BYTEA;
	}
	return pays;
}
