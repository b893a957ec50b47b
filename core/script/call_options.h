/* call_options.h - the options of a call: the plain table behind its parameters.
 *
 *   cluster:query("select ... where id = $1", 42, { intent = "read", timeout = 2 }) */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_CALL_OPTIONS_H
#define MOONGATE_SCRIPT_CALL_OPTIONS_H

#include "sql/facts.h"

#include <lua.h>

/* Zero: none were given. */
struct call_options {
	bool has_intent; /* `intent` holds, instead of what the classifier says */
	enum intent intent;
	double timeout; /* s of the whole call; 0: none of its own */
	bool as_list;   /* rows are lists, in the order of the columns */
};

/* Takes the table of options off the stack, if there is one on top, above `index`: any that has no
 * metatable. Raises in the caller's line where it holds anything else. Before take_query(). */
struct call_options take_call_options(lua_State *L, int index);

/* The same statement, with the intent that it was given. */
struct facts call_facts(const struct call_options *options, const struct facts *facts);

/* Whether it counts as a write: it may have committed when it is lost, and is never run twice. What
 * was declared to be a read is none, unless there is no doubt. */
bool call_writes(const struct call_options *options, const struct facts *facts);

#endif
