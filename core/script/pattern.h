/* pattern.h - Lua's patterns (reference manual, 6.4.1), matched in counted steps.
 *
 * Backtracking takes time that grows with powers of the subject's size; Lua's own matcher does it
 * within one call into C, which no fence sees. This one gives up where it is told to. It matches
 * and refuses the same as Lua 5.4's, in the same words. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_PATTERN_H
#define MOONGATE_SCRIPT_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#define PATTERN_CAPTURES 32

/* Sizes of captures that are no strings. */
enum { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

struct capture {
	const char *start;
	ptrdiff_t size;
};

/* Subject and pattern are borrowed, and end with a NUL beyond their ends, as Lua's strings do. */
struct pattern {
	const char *subject, *subject_end;
	const char *text, *end; /* the pattern's, without an anchor */
	long steps;             /* that it may take yet: about a character looked at each */
	const char *error;      /* what is wrong with the pattern, for lua_pushfstring(); or NULL */
	int error_index;        /* the capture's number that `error` is about */
	unsigned depth;         /* of matches inside of one another */
	int captures;
	struct capture capture[PATTERN_CAPTURES];
};

/* Where the match ends that begins at `at`, or NULL: there is none, or `error` is set, or `steps`
 * has become negative. The captures are those of this match. */
const char *pattern_match(struct pattern *pattern, const char *at);

/* Whether there is nothing special in it. */
bool pattern_is_plain(const char *text, size_t size);

#endif
