/* post.h - one HTTP POST that waits for its answer (libcurl): for the command line, which has
 * nothing else to do. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_POST_H
#define MOONGATE_CLUSTER_POST_H

#include <stdbool.h>
#include <stddef.h>

struct post_answer {
	long status; /* HTTP's */
	char *body;  /* with a NUL behind it; the caller's, to be freed */
};

/* With an empty body; `timeout` is in seconds, and of all that it takes. Follows no redirect, asks
 * no proxy. False: there is no answer, and `wrong` says why. */
bool post(const char *url, double timeout, struct post_answer *answer, char *wrong,
          size_t wrong_size);

#endif
