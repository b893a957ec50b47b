/* json.c - see json.h. */
/* SPDX-License-Identifier: MIT */
#include "router/json.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

/* The length of the UTF-8 sequence at `at` (RFC 3629), 0 where it is none. */
static size_t utf8_length(const unsigned char *at, size_t left)
{
	size_t n = *at < 0x80   ? 1
	           : *at < 0xc2 ? 0
	           : *at < 0xe0 ? 2
	           : *at < 0xf0 ? 3
	           : *at < 0xf5 ? 4
	                        : 0;
	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f) ||
	    (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f))
		return 0;
	return n;
}

void json_put_string(FILE *out, const char *text, size_t size)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + size;
	fputc('"', out);
	while (at < end) {
		size_t n = utf8_length(at, (size_t)(end - at));
		if (n == 0)
			fputs("\\ufffd", out);
		else if (*at == '"' || *at == '\\')
			fprintf(out, "\\%c", *at);
		else if (*at == '\n')
			fputs("\\n", out);
		else if (*at == '\t')
			fputs("\\t", out);
		else if (*at < 0x20 || *at == 0x7f)
			fprintf(out, "\\u%04x", *at);
		else
			fwrite(at, 1, n, out);
		at += n ? n : 1;
	}
	fputc('"', out);
}

static char *skip_space(char *at)
{
	while (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n')
		at++;
	return at;
}

static bool hex4(const char *at, uint32_t *value)
{
	*value = 0;
	for (int i = 0; i < 4; i++) {
		if (!isxdigit((unsigned char)at[i]))
			return false;
		int c = tolower((unsigned char)at[i]);
		*value = *value * 16 + (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return true;
}

static char *put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/* Behind the backslash and the u at `at`; a surrogate pair is one character (RFC 8259, 7). */
static char *decode_unicode(char *at, char **to)
{
	uint32_t c, low;
	if (!hex4(at, &c))
		return NULL;
	at += 4;
	if (c >= 0xd800 && c < 0xdc00 && at[0] == '\\' && at[1] == 'u' && hex4(at + 2, &low) &&
	    low >= 0xdc00 && low < 0xe000) {
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		at += 6;
	}
	*to = put_utf8(*to, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
	return at;
}

/* The string whose opening quote `at` is on, in place; where it goes on behind it, or NULL. */
static char *decode_string(char *at, char **text, size_t *size)
{
	static const char from[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	char *to = ++at;
	*text = to;
	while (*at != '"') {
		if (*at != '\\') {
			if ((unsigned char)*at < ' ')
				return NULL; /* the line's end, among others */
			*to++ = *at++;
			continue;
		}
		const char *escape = at[1] ? strchr(from, at[1]) : NULL;
		if (escape) {
			*to++ = meant[escape - from];
			at += 2;
		} else if (at[1] == 'u') {
			at = decode_unicode(at + 2, &to);
			if (!at)
				return NULL;
		} else {
			return NULL;
		}
	}
	*size = (size_t)(to - *text);
	return at + 1;
}

/* Over any value but a string; its insides are balanced, not checked. */
static char *skip_value(char *at)
{
	int depth = 0;
	char *text;
	size_t size;
	do {
		at = skip_space(at);
		if (*at == '"') {
			at = decode_string(at, &text, &size);
			if (!at)
				return NULL;
			continue;
		}
		if (!*at)
			return NULL;
		depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
		at++;
	} while (depth > 0 || !strchr(",}", *skip_space(at)));
	return at;
}

static void note(struct json_member *members, size_t count, const char *key, size_t key_size,
                 char *value, size_t size)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(members[i].name) == key_size &&
		    memcmp(members[i].name, key, key_size) == 0) {
			members[i].text = value;
			members[i].size = size;
		}
}

/* Where it goes on behind one member, or NULL. */
static char *take_member(char *at, struct json_member *members, size_t count)
{
	char *key, *value;
	size_t key_size, value_size;
	if (*at != '"' || !(at = decode_string(at, &key, &key_size)))
		return NULL;
	at = skip_space(at);
	if (*at++ != ':')
		return NULL;
	at = skip_space(at);
	if (*at != '"')
		return skip_value(at);
	at = decode_string(at, &value, &value_size);
	if (at)
		note(members, count, key, key_size, value, value_size);
	return at;
}

bool json_get_strings(char *line, struct json_member *members, size_t count)
{
	char *at = skip_space(line);
	for (size_t i = 0; i < count; i++)
		members[i].text = NULL;
	if (*at++ != '{')
		return false;
	do {
		at = take_member(skip_space(at), members, count);
		if (!at)
			return false;
		at = skip_space(at);
	} while (*at++ == ',');
	if (at[-1] != '}')
		return false;
	for (size_t i = 0; i < count; i++)
		if (members[i].text) /* its closing quote stood there, or behind it */
			members[i].text[members[i].size] = '\0';
	return true;
}

char *json_get_string(char *line, const char *name, size_t *size, const char **wrong)
{
	struct json_member member = {.name = name};
	if (!json_get_strings(line, &member, 1) || !member.text) {
		*wrong = "expected a JSON object with a string member \"sql\"";
		return NULL;
	}
	*size = member.size;
	return member.text;
}
