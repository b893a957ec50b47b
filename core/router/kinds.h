/* kinds.h - what is to be known of a server's messages by their types alone. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_KINDS_H
#define MOONGATE_ROUTER_KINDS_H

#include <stdbool.h>
#include <stdint.h>

/* It decides nothing, it completes a message of the client's, it is looked at as a whole. */
enum { KIND_UNDECIDED = 1, KIND_COMPLETION = 2, KIND_WHOLE = 4 };

static inline unsigned kind_of(char type)
{
	static const uint8_t kinds[UINT8_MAX + 1] = {
	        ['1'] = KIND_UNDECIDED | KIND_COMPLETION,
	        ['2'] = KIND_UNDECIDED | KIND_COMPLETION,
	        ['3'] = KIND_UNDECIDED | KIND_COMPLETION,
	        ['C'] = KIND_COMPLETION | KIND_WHOLE,
	        ['E'] = KIND_WHOLE,
	        ['I'] = KIND_COMPLETION,
	        ['N'] = KIND_UNDECIDED,
	        ['S'] = KIND_UNDECIDED | KIND_WHOLE,
	        ['T'] = KIND_UNDECIDED | KIND_COMPLETION,
	        ['Z'] = KIND_WHOLE,
	        ['n'] = KIND_UNDECIDED | KIND_COMPLETION,
	        ['s'] = KIND_UNDECIDED | KIND_COMPLETION,
	        ['t'] = KIND_UNDECIDED,
	};
	return kinds[(uint8_t)type];
}

/* A response is decided by its first row or its end; until then it may be taken back. */
static inline bool kind_decides(char type)
{
	return !(kind_of(type) & KIND_UNDECIDED);
}

static inline bool kind_is_whole(char type)
{
	return kind_of(type) & KIND_WHOLE;
}

#endif
