/* cluster.c - builds a cluster and takes it down; see cluster.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/cluster.h"

#include "base/complaint.h"
#include "base/random.h"
#include "cluster/addresses.h"
#include "cluster/conninfo.h"
#include "cluster/dispatch.h"
#include "cluster/patroni.h"
#include "cluster/pool.h"
#include "cluster/probe.h"
#include "cluster/statistics.h"
#include "cluster/writes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SERVERS 100000 /* of a pool: beyond that it is a mistake, such as -1 */

static bool in_range(double value, double low)
{
	return isfinite(value) && value >= low;
}

static bool check_pool(const struct pool_config *p, const struct complaint_to *to)
{
	if (p->size == 0 || p->size > MOST_SERVERS)
		return complain(to, "pool.size must be from 1 to %d", MOST_SERVERS);
	if (!in_range(p->acquire_timeout, 0) || !in_range(p->connect_timeout, 0.001) ||
	    !in_range(p->idle_timeout, 0) || !in_range(p->max_lifetime, 0) ||
	    !in_range(p->reserve_after, 0) || !in_range(p->notice_after, 0))
		return complain(to, "the pool's times must be seconds of at least 0 "
		                    "(connect_timeout: more than 0)");
	if (!in_range(p->lifetime_jitter, 0) || p->lifetime_jitter > 1)
		return complain(to, "pool.lifetime_jitter must be a number from 0 to 1");
	if (p->min_idle > p->size)
		return complain(to, "pool.min_idle (%u) is more than pool.size (%u)", p->min_idle,
		                p->size);
	if (p->reserve && p->reserve_after >= p->acquire_timeout)
		return complain(to,
		                "pool.reserve_after (%g s) must be less than pool.acquire_timeout "
		                "(%g s), or the reserve is never used",
		                p->reserve_after, p->acquire_timeout);
	return true;
}

static bool check_times(const struct session_config *s, const struct complaint_to *to)
{
	if (in_range(s->query_timeout, 0) && in_range(s->transaction_timeout, 0) &&
	    in_range(s->idle_transaction_timeout, 0) && in_range(s->client_idle_timeout, 0))
		return true;
	return complain(to, "timeouts must be seconds of at least 0");
}

static bool check_overrides(const struct session_overrides *o, const struct complaint_to *to)
{
	for (size_t i = 0; i < o->count; i++) {
		const struct session_override *each = &o->list[i];
		if ((each->set & SESSION_POOL_SIZE) && each->values.pool_size == 0)
			return complain(to, "pool_size must be at least 1");
		if (!check_times(&each->values, to))
			return false;
	}
	return true;
}

static bool check_sessions(const struct cluster_config *c, const struct complaint_to *to)
{
	return check_times(&c->session, to) && check_overrides(&c->users, to) &&
	       check_overrides(&c->databases, to);
}

static bool check_breaker(const struct breaker_config *b, const struct complaint_to *to)
{
	if (b->failures == 0)
		return true; /* it is off */
	if (!in_range(b->window, 0.001) || !in_range(b->pause, 0.001) || b->trials == 0)
		return complain(to, "breaker.window and breaker.pause must be more than 0 seconds, "
		                    "breaker.trials at least 1");
	if (!in_range(b->ratio, 0) || b->ratio > 1)
		return complain(to, "breaker.ratio must be a number from 0 to 1");
	return true;
}

static bool check(const struct cluster_config *c, const struct complaint_to *to)
{
	const struct backoff_config *b = &c->health.backoff;
	size_t primaries = 0;
	for (size_t i = 0; i < c->endpoint_count; i++) {
		primaries += c->endpoints[i].role == ROLE_PRIMARY;
		if (!in_range(c->endpoints[i].weight, 0))
			return complain(to, "weight must be a number of at least 0");
	}
	if (primaries == 0 && !c->patroni && !c->loose)
		return complain(to, "a cluster needs a primary");
	if (c->endpoint_count > CLUSTER_ENDPOINTS)
		return complain(to, "a cluster has at most %d endpoints", CLUSTER_ENDPOINTS);
	if (!check_pool(&c->pool, to) || !check_sessions(c, to))
		return false;
	if (!in_range(c->health.interval, 0.001) || !in_range(c->health.timeout, 0.001))
		return complain(to,
		                "health.interval and health.timeout must be more than 0 seconds");
	if (c->health.fall == 0 || c->health.rise == 0)
		return complain(to, "health.fall and health.rise must be at least 1");
	if (!in_range(c->health.slow_start, 0))
		return complain(to, "health.slow_start must be seconds of at least 0");
	if (!check_breaker(&c->breaker, to))
		return false;
	if (!in_range(b->initial, 0) || !in_range(b->max, 0) || !in_range(b->factor, 1) ||
	    !in_range(b->jitter, 0) || b->jitter > 1)
		return complain(to,
		                "backoff takes initial and max of at least 0 seconds, a factor of "
		                "at least 1 and a jitter from 0 to 1");
	return true;
}

/* "db1:5432"; for a Unix socket "/run/postgresql:5432". */
static char *default_name(const struct endpoint *e)
{
	char *name = NULL;
	if (conninfo_reason(e->conninfo))
		return asprintf(&name, "%s %u", role_name(e->role), e->index) < 0 ? NULL : name;
	return asprintf(&name, "%s:%s", e->host, e->port) < 0 ? NULL : name;
}

static char *copy_or(const char *text, const char *otherwise)
{
	return strdup(text ? text : otherwise);
}

static const char *host_of(const struct conninfo *info)
{
	const char *host = conninfo_get(info, "host");
	if (conninfo_reason(info))
		return "invalid";
	return host ? host : conninfo_get(info, "hostaddr");
}

/* Where and how to connect, as the config says. NULL: `wrong` says why not, or is empty. */
static struct conninfo *build_conninfo(const struct endpoint_config *config, char *wrong,
                                       size_t size)
{
	*wrong = '\0';
	struct conninfo *info =
	        conninfo_parse_at(config->url, config->host, config->port, wrong, size);
	if (info || !config->lenient)
		return info;
	info = conninfo_broken(wrong);
	if (!info)
		*wrong = '\0';
	return info;
}

static bool build_parts(struct endpoint *e, const struct endpoint_config *config)
{
	e->host = copy_or(host_of(e->conninfo), "localhost");
	e->port = copy_or(conninfo_get(e->conninfo, "port"), "5432");
	e->region = config->region ? strdup(config->region) : NULL;
	if (!e->host || !e->port || (config->region && !e->region))
		return false;
	e->name = config->name ? strdup(config->name) : default_name(e);
	e->probe = probe_new(e);
	e->addresses = addresses_new(e);
	return e->name && e->probe && e->addresses;
}

/* By its place in the list that it is of, from 1; the primary is alone. */
static void complain_of_url(const struct complaint_to *to, const struct cluster *cluster,
                            const struct endpoint *e, const char *wrong)
{
	if (cluster->loose)
		complain(to, "endpoint %u: %s", e->index + 1, wrong);
	else if (e->role == ROLE_PRIMARY)
		complain(to, "primary: %s", wrong);
	else
		complain(to, "replica %u: %s", e->index, wrong);
}

struct endpoint *endpoint_new(struct cluster *cluster, size_t index,
                              const struct endpoint_config *config, char *error, size_t error_size)
{
	const struct complaint_to to = {error, error_size};
	char wrong[200] = "";
	struct endpoint *e = calloc(1, sizeof *e);
	if (!e) {
		complain(&to, "out of memory");
		return NULL;
	}
	endpoint_init(e);
	e->cluster = cluster;
	e->index = (unsigned)index;
	e->serial = ++cluster->endpoints_made;
	e->weight = config->weight;
	/* Any number, so that another endpoint in its place is not taken for it: see adopt.h. */
	e->incarnation = (unsigned)random_next(&cluster->context->random);
	e->quota.limit = cluster->pool.max_per_endpoint;
	e->role = config->role;
	e->configured = config->role == ROLE_PRIMARY;
	e->fresh_as_of = config->role == ROLE_PRIMARY ? INFINITY : -INFINITY;
	e->conninfo = build_conninfo(config, wrong, sizeof wrong);
	if (!e->conninfo && *wrong)
		complain_of_url(&to, cluster, e, wrong);
	else if (!e->conninfo || !build_parts(e, config))
		complain(&to, "out of memory");
	else if (cluster_endpoint(cluster, e->name))
		complain(&to, "two endpoints are called %s; give one of them another name",
		         e->name);
	else
		return e;
	endpoint_free(e);
	return NULL;
}

static bool build_defaults(struct cluster *cluster, const struct complaint_to *to)
{
	cluster->default_read =
	        route_new(cluster, &(struct route_config){
	                                   .to = TO_REPLICAS,
	                                   .consistency = CONSISTENCY_READ_YOUR_WRITES,
	                                   .fallback_primary = true,
	                           });
	cluster->default_write = route_new(cluster, &(struct route_config){.to = TO_PRIMARY});
	if (!cluster->default_read || !cluster->default_write)
		return complain(to, "out of memory");
	return true;
}

static bool build_limits(struct cluster *cluster, const struct cluster_config *config)
{
	struct session_config session = config->session;
	session.mode = config->pool.mode;
	session.pool_size = config->pool.size;
	cluster->sessions = session_configs_new(&session, &config->users, &config->databases);
	cluster->database_quotas = quotas_new(config->pool.max_per_database);
	cluster->user_quotas = quotas_new(config->pool.max_per_user);
	return cluster->sessions && cluster->database_quotas && cluster->user_quotas;
}

struct cluster *cluster_new(struct context *context, const struct cluster_config *config,
                            char *error, size_t error_size)
{
	const struct complaint_to to = {error, error_size};
	if (!check(config, &to))
		return NULL;
	struct cluster *cluster = calloc(1, sizeof *cluster);
	if (!cluster)
		goto no_memory;
	cluster->context = context;
	cluster->pool = config->pool;
	cluster->health = config->health;
	cluster->hold_limit = HOLD_LIMIT_DEFAULTS;
	if (config->hold_limit.queries)
		cluster->hold_limit.queries = config->hold_limit.queries;
	if (config->hold_limit.bytes)
		cluster->hold_limit.bytes = config->hold_limit.bytes;
	cluster->breaker = config->breaker;
	cluster->loose = config->loose;
	cluster->name = "";
	cluster->wanted = -INFINITY;
	list_init(&cluster->parked);
	list_init(&cluster->blocked);
	list_init(&cluster->retired);
	if (!build_limits(cluster, config))
		goto no_memory;
	cluster->statistics = statistics_new();
	if (!cluster->statistics)
		goto no_memory;
	cluster->catalogs = catalogs_new(cluster, &config->catalogs);
	if (!cluster->catalogs)
		goto no_memory;
	cluster->endpoints = calloc(CLUSTER_ENDPOINTS, sizeof(struct endpoint *));
	if (!cluster->endpoints)
		goto no_memory;
	for (size_t i = 0; i < config->endpoint_count; i++) {
		cluster->endpoints[i] =
		        endpoint_new(cluster, i, &config->endpoints[i], error, error_size);
		if (!cluster->endpoints[i])
			goto fail;
		cluster->endpoint_count = i + 1;
	}
	if (config->patroni) {
		cluster->patroni = patroni_new(cluster, config->patroni, error, error_size);
		if (!cluster->patroni)
			goto fail;
	}
	if (!build_defaults(cluster, &to))
		goto fail;
	cluster_review(cluster);
	return cluster;
no_memory:
	complain(&to, "out of memory");
fail:
	cluster_free(cluster);
	return NULL;
}

void cluster_start(struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->endpoint_count; i++) {
		const struct endpoint *e = cluster->endpoints[i];
		log_info(&cluster->context->log, "endpoint configured", LOG_T("endpoint", e->name),
		         LOG_T("role", role_name(e->role)), LOG_T("region", e->region),
		         LOG_N("weight", e->weight));
	}
	if (cluster->endpoint_count == 1 && !cluster->patroni && !cluster->loose)
		log_info(&cluster->context->log, "no replica configured: the primary serves all",
		         LOG_T("endpoint", cluster->endpoints[0]->name));
	for (size_t i = 0; i < cluster->endpoint_count; i++)
		probe_start(cluster->endpoints[i]->probe);
	cluster_review(cluster);
	patroni_start(cluster->patroni);
}

void endpoint_free(struct endpoint *e)
{
	ev_timer_stop(e->cluster->context->loop, &e->trimming);
	probe_free(e->probe);
	while (e->pools) {
		struct pool *first = e->pools;
		pool_free(first);
		if (e->pools == first)
			break; /* servers are lent: a borrower's mistake, see cluster_free() */
	}
	addresses_free(e->addresses);
	conninfo_free(e->conninfo);
	free(e->name);
	free(e->host);
	free(e->port);
	free(e->region);
	free(e);
}

void cluster_free(struct cluster *cluster)
{
	if (!cluster)
		return;
	dispatch_close_all(cluster);
	news_stop(cluster);
	patroni_free(cluster->patroni);
	catalogs_free(cluster->catalogs);
	for (size_t i = 0; i < cluster->endpoint_count; i++)
		endpoint_free(cluster->endpoints[i]);
	routes_free(cluster->routes);
	writes_free(cluster->writes);
	statistics_free(cluster->statistics);
	session_configs_free(cluster->sessions);
	quotas_free(cluster->database_quotas);
	quotas_free(cluster->user_quotas);
	free(cluster->probe_user);
	free(cluster->probe_database);
	free(cluster->endpoints);
	free(cluster);
}

struct route *cluster_default_route(const struct cluster *cluster, enum intent intent)
{
	return intent == INTENT_READ ? cluster->default_read : cluster->default_write;
}

const struct session_config *cluster_session_config(const struct cluster *cluster, const char *user,
                                                    const char *database)
{
	return session_configs_find(cluster->sessions, user, database);
}

unsigned cluster_server_demand(const struct cluster *cluster)
{
	const struct pool_config *p = &cluster->pool;
	unsigned servers = p->size + p->reserve, count = (unsigned)cluster->endpoint_count;
	if (cluster->patroni && count < PATRONI_MEMBERS)
		count = PATRONI_MEMBERS;
	if (p->max_per_endpoint && p->max_per_endpoint < servers)
		servers = p->max_per_endpoint;
	return (servers + 1) * count;
}

struct endpoint *cluster_endpoint(const struct cluster *cluster, const char *name)
{
	for (size_t i = 0; i < cluster->endpoint_count; i++) {
		struct endpoint *e = cluster->endpoints[i];
		size_t host = strlen(e->host);
		if (e->absent)
			continue;
		if (strcmp(e->name, name) == 0)
			return e;
		if (strncmp(e->host, name, host) == 0 && name[host] == ':' &&
		    strcmp(e->port, name + host + 1) == 0)
			return e;
	}
	return NULL;
}
