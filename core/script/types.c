/* types.c - see types.h. */
/* SPDX-License-Identifier: MIT */
#include "script/types.h"

#include "script/binary.h"
#include "script/handles.h"
#include "script/numbers.h"
#include "script/type_oids.h"

#include <stdlib.h>

static void push_bool(lua_State *L, const char *text, size_t size)
{
	(void)size;
	lua_pushboolean(L, *text == 't');
}

static void push_integer(lua_State *L, const char *text, size_t size)
{
	(void)size;
	lua_pushinteger(L, strtoll(text, NULL, 10));
}

static void push_float(lua_State *L, const char *text, size_t size)
{
	(void)size;
	lua_pushnumber(L, number_from_text(text));
}

static void push_string(lua_State *L, const char *text, size_t size)
{
	lua_pushlstring(L, text, size);
}

static int nibble(char digit)
{
	return digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;
}

static void add_hex(luaL_Buffer *b, const char *digits, size_t count)
{
	for (size_t i = 0; i + 1 < count; i += 2)
		luaL_addchar(b, (char)(nibble(digits[i]) << 4 | nibble(digits[i + 1])));
}

static bool is_octal(const char *p)
{
	for (int i = 0; i < 3; i++)
		if (p[i] < '0' || p[i] > '7')
			return false;
	return true;
}

/* bytea_output = escape: \\ and \ooo. */
static void add_escaped(luaL_Buffer *b, const char *text, size_t size)
{
	for (const char *p = text; p < text + size; p++) {
		if (*p == '\\' && is_octal(p + 1)) {
			luaL_addchar(b,
			             (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0')));
			p += 3;
		} else {
			luaL_addchar(b, *p);
			if (*p == '\\' && p[1] == '\\')
				p++;
		}
	}
}

static void push_bytea(lua_State *L, const char *text, size_t size)
{
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	if (size >= 2 && text[0] == '\\' && text[1] == 'x')
		add_hex(&b, text + 2, size - 2);
	else
		add_escaped(&b, text, size);
	luaL_pushresult(&b);
}

static push_text_fn *own_push(Oid type)
{
	switch (type) {
	case TYPE_BOOL:
		return push_bool;
	case TYPE_BYTEA:
		return push_bytea;
	case TYPE_INT2:
	case TYPE_INT4:
	case TYPE_INT8:
	case TYPE_OID:
		return push_integer;
	case TYPE_FLOAT4:
	case TYPE_FLOAT8:
		return push_float;
	default:
		return push_string;
	}
}

/* What the cluster has for it: its kind is that of the value, which is on top; nil: nothing. */
static int registered(lua_State *L, int types, Oid type)
{
	if (!lua_istable(L, types)) {
		lua_pushnil(L);
		return LUA_TNIL;
	}
	return lua_rawgeti(L, types, (lua_Integer)type);
}

static struct decoder element_decoder(lua_State *L, int types, Oid type)
{
	struct decoder d = {.push = own_push(type)};
	switch (registered(L, types, type)) {
	case LUA_TFUNCTION:
		d.function = lua_gettop(L);
		return d;
	case LUA_TSTRING:
		d.push = push_float;
		break;
	default:
		break;
	}
	lua_pop(L, 1);
	return d;
}

struct decoder type_decoder(lua_State *L, int types, Oid type)
{
	Oid element = 0;
	if (registered(L, types, type) == LUA_TNUMBER)
		element = (Oid)lua_tointeger(L, -1);
	else if (lua_isnil(L, -1))
		element = type_element(type);
	lua_pop(L, 1);
	struct decoder d = element_decoder(L, types, element ? element : type);
	if (element)
		d.delimiter = element == TYPE_BOX ? ';' : ',';
	return d;
}

void push_decoded(lua_State *L, const struct decoder *d, const char *text, size_t size)
{
	if (d->delimiter) {
		if (!push_array(L, d, text, size))
			push_string(L, text, size);
	} else if (d->function) {
		lua_pushvalue(L, d->function);
		lua_pushlstring(L, text, size);
		lua_call(L, 1, 1);
	} else {
		d->push(L, text, size);
	}
}

static int set_type(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	h->text_only |= binary_is_known((Oid)luaL_checkinteger(L, 2));
	luaL_checkany(L, 3);
	lua_settop(L, 3);
	if (lua_getiuservalue(L, 1, CLUSTER_DECODERS) == LUA_TNIL) {
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_setiuservalue(L, 1, CLUSTER_DECODERS);
		lua_replace(L, -2);
	}
	lua_insert(L, 2);
	lua_rawset(L, 2);
	return 0;
}

void open_types(lua_State *L)
{
	lua_pushcfunction(L, set_type);
	lua_setfield(L, -2, "set_type");
}
