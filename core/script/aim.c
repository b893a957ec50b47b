/* aim.c - see aim.h. */
/* SPDX-License-Identifier: MIT */
#include "script/aim.h"

#include "base/clock.h"
#include "cluster/scopes.h"

#include <string.h>

struct query aim_question(struct cluster_handle *h, const struct facts *facts, const char *sql,
                          int parameters, uint64_t *key)
{
	return (struct query){.facts = facts,
	                      .sql = sql,
	                      .sql_size = strlen(sql),
	                      .standard_strings = true,
	                      .writes = facts_may_write(facts),
	                      .parameters = parameters > 0 ? (unsigned)parameters : 0,
	                      .key = key,
	                      .session = &h->session};
}

void aim_at(struct cluster_handle *h, struct aim *a)
{
	struct cluster *c = h->cluster;
	const struct party who = {.key = a->key, .tables = &a->tables};
	const struct demand demand = {.now = clock_now(), .need = &a->need};
	struct verdict *v = &a->verdict;
	if (v->kind == VERDICT_ENDPOINT && !endpoint_meets(v->endpoint, &demand))
		*v = (struct verdict){.kind = VERDICT_ROUTE, .route = c->default_write};
	a->last_write = c->scopes && v->kind == VERDICT_ROUTE
	                        ? cluster_last_write(c, v->route, &who, h->last_write)
	                        : h->last_write;
}

struct dispatch_request aim_request(const struct cluster_handle *h, const struct aim *a)
{
	return (struct dispatch_request){.cluster = h->cluster,
	                                 .route = a->verdict.route,
	                                 .endpoint = a->verdict.endpoint,
	                                 .last_write = a->last_write,
	                                 .need = &a->need};
}

double aim_timeout(const struct aim *a)
{
	return a->verdict.kind == VERDICT_ROUTE ? route_config(a->verdict.route)->timeout : 0;
}
