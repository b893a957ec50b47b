/* strings.c - see strings.h.
 *
 * Each function's upvalue 1 is the fence. A match is granted as many steps as the fence has left;
 * what it took of them is charged before other code runs, and at the end. */
/* SPDX-License-Identifier: MIT */
#include "script/strings.h"

#include "script/charges.h"
#include "script/pattern.h"

#include <ctype.h>
#include <lauxlib.h>
#include <limits.h>
#include <string.h>

struct search {
	lua_State *L;
	struct fence *fence;
	struct pattern pattern;
	long granted; /* steps */
};

static void grant(struct search *s)
{
	long left = fence_left(s->fence);
	s->granted =
	        left < LONG_MAX / STEPS_PER_INSTRUCTION ? left * STEPS_PER_INSTRUCTION : LONG_MAX;
	s->pattern.steps = s->granted;
}

static void settle(struct search *s)
{
	long taken = s->granted - s->pattern.steps;
	fence_charge(s->L, s->fence, taken / STEPS_PER_INSTRUCTION + 1);
}

/* The subject and the pattern are the function's first two arguments. `anchor`: "^" means the
 * beginning. */
static bool begin(lua_State *L, struct search *s, bool anchor)
{
	size_t subject_size, size;
	const char *subject = luaL_checklstring(L, 1, &subject_size);
	const char *text = luaL_checklstring(L, 2, &size);
	bool anchored = anchor && *text == '^';
	s->L = L;
	s->fence = lua_touserdata(L, lua_upvalueindex(1));
	s->pattern.error_index = 0;
	s->pattern.subject = subject;
	s->pattern.subject_end = subject + subject_size;
	s->pattern.text = text + anchored;
	s->pattern.end = text + size;
	grant(s);
	return anchored;
}

static const char *match_at(struct search *s, const char *at)
{
	const char *end = pattern_match(&s->pattern, at);
	if (s->pattern.error)
		luaL_error(s->L, s->pattern.error, s->pattern.error_index);
	if (s->pattern.steps < 0)
		settle(s);
	return end;
}

/* Without captures the whole match is the first. */
static void push_capture(const struct search *s, int i, const char *start, const char *end)
{
	const struct pattern *p = &s->pattern;
	if (i >= p->captures) {
		if (i != 0)
			luaL_error(s->L, "invalid capture index %%%d", i + 1);
		lua_pushlstring(s->L, start, (size_t)(end - start));
		return;
	}
	const struct capture *c = &p->capture[i];
	if (c->size == CAPTURE_OPEN)
		luaL_error(s->L, "unfinished capture");
	if (c->size == CAPTURE_POSITION)
		lua_pushinteger(s->L, c->start - p->subject + 1);
	else
		lua_pushlstring(s->L, c->start, (size_t)c->size);
}

/* `start` NULL: no whole match where there are no captures. */
static int push_captures(const struct search *s, const char *start, const char *end)
{
	int count = s->pattern.captures == 0 && start ? 1 : s->pattern.captures;
	luaL_checkstack(s->L, count, "too many captures");
	for (int i = 0; i < count; i++)
		push_capture(s, i, start, end);
	return count;
}

/* Where argument `argument` says to begin, as an offset; more than `size`: behind the end. */
static size_t first_offset(lua_State *L, int argument, size_t size)
{
	lua_Integer position = luaL_optinteger(L, argument, 1);
	if (position > 0)
		return (size_t)position - 1;
	if (position == 0 || position < -(lua_Integer)size)
		return 0;
	return size + (size_t)position;
}

static int find_plain(lua_State *L, size_t first)
{
	size_t size, wanted_size;
	const char *text = lua_tolstring(L, 1, &size);
	const char *wanted = lua_tolstring(L, 2, &wanted_size);
	fence_charge(L, lua_touserdata(L, lua_upvalueindex(1)), charge_for_bytes(size - first));
	const char *found = memmem(text + first, size - first, wanted, wanted_size);
	if (!found) {
		luaL_pushfail(L);
		return 1;
	}
	lua_pushinteger(L, found - text + 1);
	lua_pushinteger(L, found - text + (lua_Integer)wanted_size);
	return 2;
}

static bool wants_plain(lua_State *L)
{
	size_t size;
	const char *text = lua_tolstring(L, 2, &size);
	fence_charge(L, lua_touserdata(L, lua_upvalueindex(1)), charge_for_characters(size));
	return lua_toboolean(L, 4) || pattern_is_plain(text, size);
}

static int push_found(struct search *s, const char *start, const char *end, bool find)
{
	settle(s);
	if (!find)
		return push_captures(s, start, end);
	lua_pushinteger(s->L, start - s->pattern.subject + 1);
	lua_pushinteger(s->L, end - s->pattern.subject);
	return push_captures(s, NULL, NULL) + 2;
}

static int search(lua_State *L, bool find)
{
	struct search s;
	bool anchored = begin(L, &s, true);
	size_t first = first_offset(L, 3, (size_t)(s.pattern.subject_end - s.pattern.subject));
	const char *at = s.pattern.subject + first;
	if (first > (size_t)(s.pattern.subject_end - s.pattern.subject)) {
		luaL_pushfail(L);
		return 1;
	}
	if (find && wants_plain(L))
		return find_plain(L, first);
	do {
		const char *end = match_at(&s, at);
		if (end)
			return push_found(&s, at, end, find);
	} while (at++ < s.pattern.subject_end && !anchored);
	settle(&s);
	luaL_pushfail(L);
	return 1;
}

static int string_find(lua_State *L)
{
	return search(L, true);
}

static int string_match(lua_State *L)
{
	return search(L, false);
}

/* Upvalues of gmatch's iterator. Offsets: where to go on, and the end of the last match or -1. */
enum { ITERATOR_FENCE = 1, ITERATOR_SUBJECT, ITERATOR_TEXT, ITERATOR_NEXT, ITERATOR_LAST };

static void set_offset(lua_State *L, int upvalue, ptrdiff_t offset)
{
	lua_pushinteger(L, offset);
	lua_replace(L, lua_upvalueindex(upvalue));
}

static int next_match(lua_State *L)
{
	struct search s;
	lua_settop(L, 0);
	lua_pushvalue(L, lua_upvalueindex(ITERATOR_SUBJECT));
	lua_pushvalue(L, lua_upvalueindex(ITERATOR_TEXT));
	begin(L, &s, false);
	ptrdiff_t size = s.pattern.subject_end - s.pattern.subject;
	ptrdiff_t next = lua_tointeger(L, lua_upvalueindex(ITERATOR_NEXT));
	ptrdiff_t last = lua_tointeger(L, lua_upvalueindex(ITERATOR_LAST));
	for (; next <= size; next++) {
		const char *end = match_at(&s, s.pattern.subject + next);
		if (!end || end - s.pattern.subject == last)
			continue;
		settle(&s);
		set_offset(L, ITERATOR_NEXT, end - s.pattern.subject);
		set_offset(L, ITERATOR_LAST, end - s.pattern.subject);
		return push_captures(&s, s.pattern.subject + next, end);
	}
	settle(&s);
	return 0;
}

static int string_gmatch(lua_State *L)
{
	size_t size;
	luaL_checklstring(L, 1, &size);
	luaL_checkstring(L, 2);
	size_t first = first_offset(L, 3, size);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, 1);
	lua_pushvalue(L, 2);
	lua_pushinteger(L, (lua_Integer)(first > size ? size + 1 : first));
	lua_pushinteger(L, -1);
	lua_pushcclosure(L, next_match, 5);
	return 1;
}

/* One match to be replaced: the arguments of gsub are still the first on the stack. */
struct replacing {
	struct search search;
	luaL_Buffer out;
	int kind; /* of argument 3 */
};

/* "%" and a character in the replacement's text. */
static void add_escape(struct replacing *r, char c, const char *start, const char *end)
{
	if (c == '%') {
		luaL_addchar(&r->out, '%');
	} else if (c == '0') {
		luaL_addlstring(&r->out, start, (size_t)(end - start));
	} else if (isdigit((unsigned char)c)) {
		push_capture(&r->search, c - '1', start, end);
		luaL_tolstring(r->search.L, -1, NULL); /* a position is a number */
		lua_remove(r->search.L, -2);
		luaL_addvalue(&r->out);
	} else {
		luaL_error(r->search.L, "invalid use of '%c' in replacement string", '%');
	}
}

static void add_text(struct replacing *r, const char *start, const char *end)
{
	size_t size;
	const char *text = lua_tolstring(r->search.L, 3, &size);
	const char *text_end = text + size, *escape;
	fence_charge(r->search.L, r->search.fence, charge_for_bytes(size));
	while ((escape = memchr(text, '%', (size_t)(text_end - text))) != NULL) {
		luaL_addlstring(&r->out, text, (size_t)(escape - text));
		add_escape(r, escape[1], start, end);
		text = escape + 2;
	}
	luaL_addlstring(&r->out, text, (size_t)(text_end - text));
}

/* What the table or function on the other side gives; false: the match stays as it is. */
static bool add_value(struct replacing *r, const char *start, const char *end)
{
	lua_State *L = r->search.L;
	if (r->kind == LUA_TFUNCTION) {
		lua_pushvalue(L, 3);
		lua_call(L, push_captures(&r->search, start, end), 1);
	} else {
		push_capture(&r->search, 0, start, end);
		lua_gettable(L, 3);
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		luaL_addlstring(&r->out, start, (size_t)(end - start));
		return false;
	}
	if (!lua_isstring(L, -1))
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	luaL_addvalue(&r->out);
	return true;
}

static bool replace(struct replacing *r, const char *start, const char *end)
{
	settle(&r->search);
	bool changed = true;
	if (r->kind == LUA_TFUNCTION || r->kind == LUA_TTABLE)
		changed = add_value(r, start, end);
	else
		add_text(r, start, end);
	grant(&r->search);
	return changed;
}

static bool is_replacement(int type)
{
	return type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
	       type == LUA_TTABLE;
}

/* Replaces up to `most` matches, adds all to the buffer, and returns how many there were. */
static lua_Integer replace_all(struct replacing *r, bool anchored, lua_Integer most, bool *changed)
{
	struct pattern *p = &r->search.pattern;
	const char *at = p->subject, *last = NULL;
	lua_Integer count = 0;
	while (count < most) {
		const char *end = match_at(&r->search, at);
		if (end && end != last) {
			count++;
			*changed |= replace(r, at, end);
			at = last = end;
		} else if (at < p->subject_end) {
			luaL_addchar(&r->out, *at++);
		} else {
			break;
		}
		if (anchored)
			break;
	}
	luaL_addlstring(&r->out, at, (size_t)(p->subject_end - at));
	return count;
}

static int string_gsub(lua_State *L)
{
	struct replacing r;
	r.kind = lua_type(L, 3);
	bool changed = false;
	bool anchored = begin(L, &r.search, true);
	ptrdiff_t size = r.search.pattern.subject_end - r.search.pattern.subject;
	lua_Integer most = luaL_optinteger(L, 4, size + 1);
	if (!is_replacement(r.kind))
		return luaL_typeerror(L, 3, "string/function/table");
	luaL_buffinit(L, &r.out);
	lua_Integer count = replace_all(&r, anchored, most, &changed);
	settle(&r.search);
	luaL_pushresult(&r.out);
	if (!changed)
		lua_pushvalue(L, 1);
	lua_pushinteger(L, count);
	return 2;
}

void strings_open(lua_State *L, struct fence *fence)
{
	static const luaL_Reg functions[] = {{"find", string_find},
	                                     {"match", string_match},
	                                     {"gmatch", string_gmatch},
	                                     {"gsub", string_gsub},
	                                     {NULL, NULL}};
	lua_pushlightuserdata(L, fence);
	luaL_setfuncs(L, functions, 1);
}
