/* aim.h - what a policy is asked of a statement of the embedded module's, and where that leads. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_AIM_H
#define MOONGATE_SCRIPT_AIM_H

#include "cluster/dispatch.h"
#include "script/handles.h"

/* One question; `facts`, `sql` and `key` stay as long as it is asked. */
struct query aim_question(struct cluster_handle *h, const struct facts *facts, const char *sql,
                          int parameters, uint64_t *key);

/* Where it goes, and what it has to see there. */
struct aim {
	struct verdict verdict;
	uint64_t key;
	struct tables tables;
	struct need need;
	double last_write;
};

/* From the verdict and the need to the rest, once all of them are known. */
void aim_at(struct cluster_handle *h, struct aim *aim);

/* Where it is, for a dispatch; the aim stays until that is done. */
struct dispatch_request aim_request(const struct cluster_handle *h, const struct aim *aim);

/* Its route's timeout; 0: none. */
double aim_timeout(const struct aim *aim);

#endif
