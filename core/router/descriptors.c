/* descriptors.c - see descriptors.h. */
/* SPDX-License-Identifier: MIT */
#include "router/descriptors.h"

#include "router/http.h"
#include "router/worker.h"

#include <dirent.h>
#include <limits.h>
#include <sys/resource.h>

#define SPARE 8 /* for what is opened in passing: resolving, cancelling, scripts */
#define CROWD                                                                                      \
	100 /* clients that there should be room for beside all servers, to call it enough         \
	     */

static unsigned limit_now(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX)
		return INT_MAX;
	return (unsigned)limit.rlim_cur;
}

void descriptors_raise(struct worker *w)
{
	unsigned before = limit_now();
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	w->descriptors.limit = limit_now();
	log_info(&w->context.log, "descriptors: one for each client and each server",
	         LOG_N("limit", w->descriptors.limit), LOG_N("limit_before", before));
}

/* Those that are open now; the folder's own is one of them. */
static unsigned count_open(void)
{
	unsigned count = 0;
	DIR *folder = opendir("/proc/self/fd");
	if (!folder)
		return 16; /* about what it takes */
	for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

void descriptors_check(struct worker *w)
{
	w->descriptors.others = count_open();
	descriptors_recheck(w);
}

void descriptors_recheck(struct worker *w)
{
	struct descriptors *d = &w->descriptors;
	d->demand = w->admin ? HTTP_CONNECTIONS : 0;
	for (size_t i = 0; i < script_cluster_count(w->script); i++)
		d->demand += cluster_server_demand(script_cluster_at(w->script, i)->cluster);
	unsigned needed = d->others + d->demand + SPARE + CROWD;
	if (d->limit < needed)
		log_warn(&w->context.log,
		         "the limit of descriptors is too low for the configured pools: raise it "
		         "(ulimit -Hn, LimitNOFILE=) or make the pools smaller",
		         LOG_N("limit", d->limit), LOG_N("servers", d->demand),
		         LOG_N("needed", needed));
}

/* Clients that have become replication connections are not counted as clients any more. */
static unsigned count_replications(const struct worker *w)
{
	unsigned count = 0;
	LIST_EACH (&w->replications, link)
		count++;
	return count;
}

/* A quarter of the limit at most is kept for servers that are not open yet. */
bool descriptors_short(struct worker *w)
{
	struct descriptors *d = &w->descriptors;
	unsigned servers = w->context.servers;
	unsigned missing = d->demand > servers ? d->demand - servers : 0;
	unsigned kept = SPARE + (missing < d->limit / 4 ? missing : d->limit / 4);
	unsigned clients = w->client_count + count_replications(w);
	unsigned used = d->others + clients + w->cancel_count + servers;
	if (w->client_count == 0 || used + kept < d->limit)
		return false;
	unsigned limit = limit_now(); /* it may have been raised meanwhile */
	bool changed = limit != d->limit;
	d->limit = limit;
	return !changed || descriptors_short(w);
}
