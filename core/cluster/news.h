/* news.h - who listens is told when what an endpoint is good for has changed: up or down, role,
 * standing, drained, read-only, its breaker. On the loop's next turn, once for each endpoint; of
 * what the listener has changed itself a little later, so that it cannot keep the loop busy. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_NEWS_H
#define MOONGATE_CLUSTER_NEWS_H

#include <ev.h>
#include <stdbool.h>

struct cluster;
struct endpoint;

/* Must not free the cluster. */
typedef void endpoint_changed_fn(struct endpoint *endpoint, void *arg);

/* Inside of its cluster. Zero: nobody listens. */
struct news {
	endpoint_changed_fn *fn;
	void *arg;
	ev_timer timer;
	bool telling; /* what changes meanwhile is the listener's doing */
};

/* From now on; one listener at most. */
void news_listen(struct cluster *cluster, endpoint_changed_fn *fn, void *arg);

/* Something may have changed. */
void news_note(struct cluster *cluster);

/* What is the case now is none any more: endpoints have come from another cluster. */
void news_catch_up(struct cluster *cluster);

void news_stop(struct cluster *cluster);

#endif
