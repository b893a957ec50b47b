/* tag_comment.h - the other way round of tags.h: a tag as a comment that says it. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_TAG_COMMENT_H
#define MOONGATE_SQL_TAG_COMMENT_H

#define TAG_COMMENT 4096 /* bytes that one may take, with its NUL */

/* Why there can be no such tag: part of a sentence; NULL: there can. */
const char *tag_comment_wrong(const char *key, const char *value);

/* What to append to a statement, so that it has this tag, which is not wrong: a comment in
 * moongate's own form. It counts over those before it. Returns `out`. */
const char *tag_comment(const char *key, const char *value, char out[TAG_COMMENT]);

#endif
