/* explain.h - `moongate explain` and `moongate check`: a script at work without any database. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_EXPLAIN_H
#define MOONGATE_ROUTER_EXPLAIN_H

#include "router/trial.h"

#include <stdbool.h>

struct explain_options {
	const char *sql;  /* -c; or: */
	const char *file; /* -f; "-" is standard input */
	bool json_input;  /* one {"sql": ...} a line, each one simple Query message */
	bool json_output; /* one object a line */
	struct situation situation;
};

/* Prints what each statement is, where it goes and why. Returns the exit status: 0, or 1 or 2 with
 * a message on standard error. */
int explain_run(struct context *context, const char *script, const struct script_options *options,
                const struct explain_options *what);

/* Loads the script and says what it sets up. Returns the exit status. */
int explain_check(struct context *context, const char *script,
                  const struct script_options *options);

#endif
