/* long_text.c - see long_text.h. */
/* SPDX-License-Identifier: MIT */
#include "sql/long_text.h"

#include <string.h>

enum after { NOTHING, SET, SET_NAME, LOAD, CALL };

static bool in_word(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c >= 0x80;
}

static bool is(const struct long_text *t, const char *word)
{
	return t->length == strlen(word) && memcmp(t->word, word, t->length) == 0;
}

static void end_word(struct long_text *t)
{
	if (t->after == SET)
		t->after = is(t, "session") ? SET : is(t, "local") ? NOTHING : SET_NAME;
	else if (is(t, "set"))
		t->after = SET;
	else if (is(t, "load"))
		t->after = LOAD;
	else
		t->after = is(t, "set_config") || is(t, "setseed") ? CALL : NOTHING;
	t->length = 0;
}

/* A character between words. Quotes around names count for nothing. */
static bool decides(struct long_text *t, uint8_t c)
{
	bool may = (t->after == SET_NAME && c == '.') || (t->after == LOAD && c == '\'') ||
	           (t->after == CALL && c == '(');
	if (c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != '"')
		t->after = NOTHING;
	return may;
}

bool long_text_feed(struct long_text *t, const void *bytes, size_t size)
{
	const uint8_t *at = bytes, *end = at + size;
	for (; at < end; at++) {
		if (in_word(*at)) {
			uint8_t lower = *at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at;
			if (t->length < LONG_TEXT_WORD)
				t->word[t->length++] = (char)lower;
			continue;
		}
		if (t->length)
			end_word(t);
		if (t->after != NOTHING && decides(t, *at))
			return true;
	}
	return false;
}
