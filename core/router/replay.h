/* replay.h - `moongate replay`: where the statements of a query log would go. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_REPLAY_H
#define MOONGATE_ROUTER_REPLAY_H

#include "router/query_log.h"
#include "router/trial.h"

struct replay_options {
	const char *log; /* "-" is standard input */
	bool has_format; /* else it is guessed from the first line */
	enum query_log_format format;
	const char *against; /* another script to compare with; NULL: none */
	bool json_output;
	struct situation situation;
};

/* Tries every statement of the log on the script, by itself: outside of a transaction, as the first
 * of its session. Reads as it goes, in memory that does not grow with the log. Returns the exit
 * status: 0, or 1 or 2 with a message on standard error. */
int replay_run(struct context *context, const char *script, const struct script_options *options,
               const struct replay_options *what);

#endif
