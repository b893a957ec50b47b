/* shadow.h - a candidate that is asked beside the policy, on live queries, and never obeyed.
 *
 * How often the two differ is counted, by what each of them says; of each such pair the last
 * statement is kept as a sample, without its text. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_SHADOW_H
#define MOONGATE_SCRIPT_SHADOW_H

#include "script/policy.h"

#define SHADOW_PAIRS 64 /* beyond these, differences count under the last one, "others" */
#define SHADOW_NAME  64 /* bytes of a verdict's name that are told */

struct shadow_pair {
	char current[SHADOW_NAME], candidate[SHADOW_NAME];
	uint64_t count;
	uint64_t fingerprint; /* of the last such statement */
	enum sql_kind kind;   /* likewise */
};

struct shadow_counts {
	uint64_t same, different;
	uint64_t failed; /* the candidate did; of these it is not known */
	size_t pair_count;
	struct shadow_pair pairs[SHADOW_PAIRS];
};

struct shadow;

/* Asks the candidate what `verdict`, the policy's, is an answer to. `vars` is the candidate's own
 * session.vars (see struct session_facts). */
void shadow_ask(struct shadow *shadow, const struct query *query, const struct verdict *verdict,
                int *vars);

/* The session ends. */
void shadow_session_end(struct shadow *shadow, int *vars);

const struct shadow_counts *shadow_counts(const struct shadow *shadow);

#endif
