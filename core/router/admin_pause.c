/* admin_pause.c - /pause and /resume: of all clusters, or of the one that "?cluster=" names. */
/* SPDX-License-Identifier: MIT */
#include "cluster/pause.h"
#include "router/admin_pages.h"
#include "router/worker.h"

#include <string.h>

/* How many were meant. */
static size_t apply(const struct worker *w, const char *only, void (*fn)(struct cluster *cluster))
{
	size_t count = 0;
	for (size_t i = 0; i < script_cluster_count(w->script); i++) {
		const struct script_cluster *c = script_cluster_at(w->script, i);
		if (only && strcmp(only, c->database) != 0)
			continue;
		fn(c->cluster);
		count++;
	}
	return count;
}

static void sum_up(const struct worker *w, const char *only, unsigned *at_work, unsigned *held)
{
	*at_work = *held = 0;
	for (size_t i = 0; i < script_cluster_count(w->script); i++) {
		const struct script_cluster *c = script_cluster_at(w->script, i);
		if (only && strcmp(only, c->database) != 0)
			continue;
		*at_work += cluster_servers_at_work(c->cluster);
		*held += c->cluster->held;
	}
}

static void give_order(const struct worker *w, const struct http_request *q,
                       struct http_response *r, bool pause)
{
	const char *only = http_argument(q, "cluster");
	unsigned at_work, held;
	if (apply(w, only, pause ? cluster_pause : cluster_resume) == 0) {
		admin_say(r, 404, "error", "the script has no such cluster");
		return;
	}
	sum_up(w, only, &at_work, &held);
	fprintf(r->body, "{\"paused\":%s,\"at_work\":%u,\"held\":%u}\n", pause ? "true" : "false",
	        at_work, held);
}

void admin_pause(struct worker *w, const struct http_request *q, struct http_response *r)
{
	give_order(w, q, r, true);
}

void admin_resume(struct worker *w, const struct http_request *q, struct http_response *r)
{
	give_order(w, q, r, false);
}
