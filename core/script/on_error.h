/* on_error.h - a cluster's policy is told of a statement of the embedded module's that has failed,
 * by its on_error(). */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_ON_ERROR_H
#define MOONGATE_SCRIPT_ON_ERROR_H

#include "script/call_options.h"
#include "script/handles.h"
#include "script/operation.h"

/* What of a call has to be kept until then, beside its text. */
struct error_subject {
	struct call_options options;
	int parameters;
	bool bound;   /* to the server that it ran on, which was lent */
	uint64_t key; /* as its policy has set it */
};

/* Only while the cluster is open. */
void on_error_tell(lua_State *L, struct cluster_handle *h, const char *sql,
                   struct error_subject *subject, const struct operation *op);

#endif
