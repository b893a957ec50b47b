/* bind_classify.c - moongate.classify(sql): what the router would know of a statement. */
/* SPDX-License-Identifier: MIT */
#include "script/handles.h"

#include <inttypes.h>
#include <stdio.h>

static void set_names(lua_State *L, const char *key, const char *const *names, size_t count)
{
	lua_createtable(L, (int)count, 0);
	for (size_t i = 0; i < count; i++) {
		lua_pushstring(L, names[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, key);
}

static void set_pins(lua_State *L, unsigned pins)
{
	lua_Integer count = 0;
	lua_newtable(L);
	for (unsigned i = 0; i < PIN_KINDS; i++)
		if (pins >> i & 1) {
			lua_pushstring(L, sql_pin_name((enum pin)(1u << i)));
			lua_rawseti(L, -2, ++count);
		}
	lua_setfield(L, -2, "pins");
}

static int classify(lua_State *L)
{
	char fingerprint[17];
	size_t size;
	const char *sql = luaL_checklstring(L, 1, &size);
	struct classifier *c = state_classifier(L, state_of(L));
	const struct facts *f = classifier_facts(c, NULL, sql, size, true);
	snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, f->fingerprint);
	lua_createtable(L, 0, 9);
	lua_pushstring(L, f->intent == INTENT_READ ? "read" : "write");
	lua_setfield(L, -2, "intent");
	lua_pushstring(L, sql_kind_name(f->kind));
	lua_setfield(L, -2, "kind");
	lua_pushstring(L, fingerprint);
	lua_setfield(L, -2, "fingerprint");
	lua_pushinteger(L, f->statements);
	lua_setfield(L, -2, "statements");
	lua_pushstring(L, f->reason);
	lua_setfield(L, -2, "reason");
	set_names(L, "tables", f->tables, f->table_count);
	set_names(L, "functions", f->functions, f->function_count);
	set_pins(L, f->pins);
	set_names(L, "settings", f->settings, f->setting_count);
	return 1;
}

void open_classify(lua_State *L)
{
	static const luaL_Reg functions[] = {{"classify", classify}, {NULL, NULL}};
	luaL_setfuncs(L, functions, 0);
}
