/* tag_comment.c - see tag_comment.h. */
/* SPDX-License-Identifier: MIT */
#include "sql/tag_comment.h"

#include <stdio.h>
#include <string.h>

#define LONGEST 1000 /* less than what tags.c reads, and all of it may be quotes */

static const char *find_delimiter(const char *text)
{
	const char *end = strstr(text, "*/");
	return end ? end : strstr(text, "/*");
}

const char *tag_comment_wrong(const char *key, const char *value)
{
	if (!*key)
		return "it has no name";
	if (key[strcspn(key, " \t\r\n\v\f,='")])
		return "its name has a space, a comma, a quote or =";
	if (strlen(key) > LONGEST || strlen(value) > LONGEST)
		return "it is too long";
	if (find_delimiter(key) || find_delimiter(value))
		return "a comment in SQL cannot hold /* or */";
	return NULL;
}

const char *tag_comment(const char *key, const char *value, char out[TAG_COMMENT])
{
	/* On a line of its own: the statement may end with a comment up to the line's end. */
	int used = snprintf(out, TAG_COMMENT, "\n/* moongate: %s='", key);
	char *to = out + used;
	for (; *value; value++) {
		if (*value == '\'')
			*to++ = '\'';
		*to++ = *value;
	}
	memcpy(to, "' */", sizeof "' */");
	return out;
}
