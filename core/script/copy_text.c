/* copy_text.c - see copy_text.h. */
/* SPDX-License-Identifier: MIT */
#include "script/copy_text.h"

#include "script/handles.h"
#include "script/misuse.h"
#include "script/numbers.h"
#include "script/parameters.h"

#include <stdio.h>
#include <string.h>

static void put(lua_State *L, struct flow *f, const char *text, size_t size)
{
	if (flow_put(f, text, size) != ST_OK)
		luaL_error(L, "moongate: out of memory");
}

/* What stands behind a backslash for this byte; 0: it stands for itself. */
static char escape(char c)
{
	switch (c) {
	case '\\':
		return '\\';
	case '\t':
		return 't';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	default:
		return 0;
	}
}

static void put_text(lua_State *L, struct flow *f, const char *text, size_t size)
{
	const char *end = text + size;
	while (text < end) {
		const char *p = text;
		while (p < end && !escape(*p))
			p++;
		put(L, f, text, (size_t)(p - text));
		if (p < end)
			put(L, f, (char[]){'\\', escape(*p)}, 2);
		text = p + 1;
	}
}

static void put_bytes(lua_State *L, struct flow *f, const char *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	put(L, f, "\\\\x", 3);
	for (size_t i = 0; i < size; i++) {
		unsigned char byte = (unsigned char)bytes[i];
		put(L, f, (char[]){digits[byte >> 4], digits[byte & 15]}, 2);
	}
}

static void put_number(lua_State *L, struct flow *f, int index)
{
	char text[NUMBER_TEXT];
	if (lua_isinteger(L, index))
		snprintf(text, sizeof text, LUA_INTEGER_FMT, lua_tointeger(L, index));
	else
		number_to_text(lua_tonumber(L, index), text);
	put(L, f, text, strlen(text));
}

static void put_string(lua_State *L, struct flow *f, int column)
{
	size_t size;
	const char *text = lua_tolstring(L, -1, &size);
	if (memchr(text, 0, size))
		misuse(L,
		       "copy_in: value %d of a row: PostgreSQL's texts hold no zero bytes "
		       "(moongate.bytea(string) makes a bytea)",
		       column);
	put_text(L, f, text, size);
}

static void put_made(lua_State *L, struct flow *f, int column)
{
	bool binary;
	size_t size;
	if (!push_made_parameter(L, lua_gettop(L), &binary))
		misuse(L,
		       "copy_in: value %d of a row: nil, boolean, number or string expected, got "
		       "%s (moongate.array(), moongate.json() and moongate.bytea() make values of "
		       "others)",
		       column, luaL_typename(L, -1));
	const char *text = lua_tolstring(L, -1, &size);
	if (binary)
		put_bytes(L, f, text, size);
	else
		put_text(L, f, text, size);
	lua_pop(L, 1);
}

/* The value on top. */
static void put_value(lua_State *L, struct flow *f, int column)
{
	switch (lua_type(L, -1)) {
	case LUA_TNIL:
		put(L, f, "\\N", 2);
		break;
	case LUA_TLIGHTUSERDATA:
		if (lua_touserdata(L, -1))
			put_made(L, f, column);
		else
			put(L, f, "\\N", 2);
		break;
	case LUA_TBOOLEAN:
		put(L, f, lua_toboolean(L, -1) ? "t" : "f", 1);
		break;
	case LUA_TNUMBER:
		put_number(L, f, -1);
		break;
	case LUA_TSTRING:
		put_string(L, f, column);
		break;
	default:
		put_made(L, f, column);
	}
}

static lua_Integer length(lua_State *L, int index)
{
	lua_pushliteral(L, "n");
	bool given = lua_rawget(L, index) == LUA_TNUMBER;
	lua_Integer count = given ? lua_tointeger(L, -1) : (lua_Integer)lua_rawlen(L, index);
	lua_pop(L, 1);
	return count;
}

void copy_text_row(lua_State *L, int index, struct flow *f)
{
	lua_Integer count = length(L, index);
	for (lua_Integer i = 1; i <= count; i++) {
		if (i > 1)
			put(L, f, "\t", 1);
		lua_rawgeti(L, index, i);
		put_value(L, f, (int)i);
		lua_pop(L, 1);
	}
	put(L, f, "\n", 1);
}
