/* type_array.c - push_array() of types.h: {1,NULL,"quoted \" and \\",{nested}}, perhaps with bounds
 * before it, [0:1]={1,2}, which Lua's tables do not have. */
/* SPDX-License-Identifier: MIT */
#include "script/types.h"

#include <lauxlib.h>
#include <string.h>

#define MAX_DEPTH 6 /* PostgreSQL's MAXDIM */

struct reader {
	lua_State *L;
	struct decoder element;
	char delimiter;
	const char *at; /* a zero ends it */
	char *scratch;  /* as large as all of it: one element's text */
};

/* False: it has no end. */
static bool take_quoted(struct reader *r, size_t *size)
{
	for (r->at++; *r->at && *r->at != '"'; r->at++) {
		if (*r->at == '\\' && r->at[1])
			r->at++;
		r->scratch[(*size)++] = *r->at;
	}
	return *r->at++ == '"';
}

static void take_bare(struct reader *r, size_t *size)
{
	*size = strcspn(r->at, (const char[]){r->delimiter, '}', '\0'});
	memcpy(r->scratch, r->at, *size);
	r->at += *size;
}

static bool push_element(struct reader *r)
{
	bool quoted = *r->at == '"';
	size_t size = 0;
	if (!quoted)
		take_bare(r, &size);
	else if (!take_quoted(r, &size))
		return false;
	r->scratch[size] = '\0';
	if (!quoted && strcmp(r->scratch, "NULL") == 0)
		lua_pushlightuserdata(r->L, NULL);
	else
		push_decoded(r->L, &r->element, r->scratch, size);
	return true;
}

/* What is between this brace and its match. */
static bool push_level(struct reader *r, int depth)
{
	lua_Integer count = 0;
	if (depth > MAX_DEPTH || *r->at++ != '{')
		return false;
	luaL_checkstack(r->L, 8, "too many arrays");
	lua_newtable(r->L);
	while (*r->at != '}') {
		if (!(*r->at == '{' ? push_level(r, depth + 1) : push_element(r)))
			return false;
		lua_rawseti(r->L, -2, ++count);
		if (*r->at == r->delimiter)
			r->at++;
		else if (*r->at != '}')
			return false;
	}
	r->at++;
	return true;
}

bool push_array(lua_State *L, const struct decoder *of, const char *text, size_t size)
{
	int top = lua_gettop(L);
	const char *bounds_end = *text == '[' ? strchr(text, '=') : NULL;
	char *scratch = lua_newuserdatauv(L, size + 1, 0);
	struct reader r = {.L = L,
	                   .element = {.push = of->push, .function = of->function},
	                   .delimiter = of->delimiter,
	                   .at = bounds_end ? bounds_end + 1 : text,
	                   .scratch = scratch};
	if (!push_level(&r, 1) || *r.at) {
		lua_settop(L, top);
		return false;
	}
	lua_replace(L, top + 1);
	return true;
}
