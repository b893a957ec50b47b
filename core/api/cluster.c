/* cluster.c - clusters from options, the environment or a routing script; what is known of their
 * endpoints. */
/* SPDX-License-Identifier: MIT */
#include "api/api.h"
#include "api/options.h"
#include "api/places.h"
#include "base/complaint.h"
#include "cluster/pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Half built is fine. */
static void destroy(struct moongate_cluster *c)
{
	list_remove(&c->link);
	catalogs_leave(c->catalog);
	if (c->script) {
		policy_session_end(c->policy, &c->session);
		script_free(c->script);
	} else {
		cluster_free(c->cluster);
	}
	free(c);
}

static struct moongate_cluster *cluster_begin(struct moongate *m, const struct complaint_to *to)
{
	struct moongate_cluster *c = NULL;
	if (!m->context.loop)
		complain(to, "the context was made without a loop, which a cluster needs");
	else if (m->freed)
		complain(to, "the context was freed");
	else if (!(c = calloc(1, sizeof *c)))
		complain(to, "not enough memory");
	if (!c)
		return NULL;
	c->m = m;
	c->last_write = -INFINITY;
	list_init(&c->link);
	list_init(&c->pending);
	list_init(&c->connections);
	list_init(&c->loans);
	return c;
}

/* It has its cluster, or goes. */
static struct moongate_cluster *cluster_ready(struct moongate_cluster *c)
{
	if (!c->cluster) {
		destroy(c);
		return NULL;
	}
	list_push_back(&c->m->clusters, &c->link);
	c->catalog = catalogs_join(c->cluster->catalogs, NULL, NULL);
	return c;
}

static struct endpoint_config endpoint_of(const struct moongate_url *u, enum role role)
{
	return (struct endpoint_config){.url = u->url,
	                                .name = u->name,
	                                .region = u->region,
	                                .weight = u->weight == 0 ? 1 : u->weight,
	                                .role = role};
}

static void set_number(double *to, double value)
{
	if (value != 0)
		*to = value;
}

static void set_count(unsigned *to, unsigned value)
{
	if (value != 0)
		*to = value;
}

static struct pool_config pool_of_options(const struct moongate_options *o)
{
	struct pool_config c = POOL_DEFAULTS;
	set_count(&c.size, o->pool_size);
	set_number(&c.acquire_timeout, o->acquire_timeout);
	set_number(&c.connect_timeout, o->connect_timeout);
	set_number(&c.idle_timeout, o->idle_timeout);
	set_number(&c.max_lifetime, o->max_lifetime);
	return c;
}

static struct health_config health_of_options(const struct moongate_options *o)
{
	struct health_config c = HEALTH_DEFAULTS;
	set_number(&c.interval, o->health_interval);
	set_number(&c.timeout, o->health_timeout);
	set_count(&c.fall, o->health_fall);
	set_count(&c.rise, o->health_rise);
	set_number(&c.backoff.initial, o->backoff_initial);
	set_number(&c.backoff.factor, o->backoff_factor);
	set_number(&c.backoff.max, o->backoff_max);
	set_number(&c.backoff.jitter, o->backoff_jitter);
	set_count(&c.backoff.attempts, o->backoff_attempts);
	return c;
}

/* `lenient`: a wrong URL of a replica makes it one that is down. */
static struct moongate_cluster *cluster_open(struct moongate *m, const struct moongate_options *o,
                                             bool lenient, char *error, size_t error_size)
{
	struct endpoint_config endpoints[CLUSTER_ENDPOINTS];
	const struct complaint_to to = {error, error_size};
	struct moongate_cluster *c = cluster_begin(m, &to);
	if (!c)
		return NULL;
	struct cluster_config config = {.endpoints = endpoints,
	                                .endpoint_count = o->replica_count + 1,
	                                .pool = pool_of_options(o),
	                                .health = health_of_options(o),
	                                .hold_limit = HOLD_LIMIT_DEFAULTS,
	                                .breaker = BREAKER_DEFAULTS,
	                                .catalogs = CATALOGS_DEFAULTS};
	if (o->replica_count >= CLUSTER_ENDPOINTS) {
		complain(&to, "a cluster has at most %d endpoints", CLUSTER_ENDPOINTS);
		return cluster_ready(c);
	}
	if (!options_are_right(o, &to))
		return cluster_ready(c);
	endpoints[0] = endpoint_of(&o->primary, ROLE_PRIMARY);
	for (size_t i = 0; i < o->replica_count; i++) {
		endpoints[i + 1] = endpoint_of(&o->replicas[i], ROLE_REPLICA);
		endpoints[i + 1].lenient = lenient;
	}
	for (size_t i = 0; i <= o->replica_count; i++)
		if (!endpoints[i].url) {
			complain(&to, "%s has no URL", i == 0 ? "the primary" : "a replica");
			return cluster_ready(c);
		}
	c->cluster = cluster_new(&m->context, &config, error, error_size);
	c = cluster_ready(c);
	if (c)
		cluster_start(c->cluster);
	return c;
}

struct moongate_cluster *moongate_open(struct moongate *m, const struct moongate_options *options,
                                       char *error, size_t error_size)
{
	return cluster_open(m, options, false, error, error_size);
}

/* From the environment; NULL: not set, or empty. */
static const char *variable(const char *name)
{
	const char *value = getenv(name);
	return value && *value ? value : NULL;
}

static size_t split(char *urls, const char *region, struct moongate_url *replicas)
{
	size_t count = 0;
	char *rest = NULL;
	for (char *url = strtok_r(urls, " \t\r\n", &rest); url && count < CLUSTER_ENDPOINTS;
	     url = strtok_r(NULL, " \t\r\n", &rest))
		replicas[count++] = (struct moongate_url){.url = url, .region = region};
	return count;
}

struct moongate_cluster *moongate_open_env(struct moongate *m, char *error, size_t error_size)
{
	struct moongate_url replicas[CLUSTER_ENDPOINTS];
	const struct complaint_to to = {error, error_size};
	const char *region = variable("MOONGATE_REGION"),
	           *others = variable("DATABASE_REPLICA_URL");
	struct moongate_options options = {
	        .primary = {.url = variable("DATABASE_URL"), .region = region},
	        .replicas = replicas};
	if (!options.primary.url) {
		complain(&to, "DATABASE_URL is not set; it names the primary, such as "
		              "postgres://user@host:5432/database");
		return NULL;
	}
	char *urls = strdup(others ? others : "");
	if (!urls) {
		complain(&to, "not enough memory");
		return NULL;
	}
	options.replica_count = split(urls, region, replicas);
	struct moongate_cluster *c = cluster_open(m, &options, true, error, error_size);
	free(urls);
	return c;
}

/* Takes the cluster for that database. */
static void choose(struct moongate_cluster *c, const char *path, const char *database,
                   const struct complaint_to *to)
{
	const struct script_cluster *found = script_cluster(c->script, database ? database : "*");
	if (!found) {
		complain(to, "%s: it has no cluster for %s%s", path,
		         database ? "database " : "\"*\"", database ? database : "");
		return;
	}
	c->cluster = found->cluster;
	c->policy = found->policy;
}

struct moongate_cluster *moongate_open_script(struct moongate *m, const char *path,
                                              const char *database, char *error, size_t error_size)
{
	const struct complaint_to to = {error, error_size};
	struct moongate_cluster *c = cluster_begin(m, &to);
	if (!c)
		return NULL;
	char lua_path[PLACES_SIZE];
	const struct script_options options = {.lua_path = m->lua_path ? m->lua_path
	                                                               : places_lua_path(lua_path)};
	c->script = script_load(&m->context, path, &options, error, error_size);
	if (c->script)
		choose(c, path, database, &to);
	c = cluster_ready(c);
	if (c)
		script_start(c->script);
	return c;
}

void moongate_close(struct moongate_cluster *c)
{
	if (!c)
		return;
	while (!list_empty(&c->pending)) {
		struct moongate_pending *p =
		        LIST_ENTRY(c->pending.next, struct moongate_pending, link);
		pending_abort(p, NULL, "57P01", "the cluster was closed");
		list_remove(&p->link);
		p->cluster = NULL;
		p->connection = NULL;
	}
	connections_close(c);
	destroy(c);
}

static void add_pools(struct moongate_endpoint *to, const struct endpoint *e)
{
	for (const struct pool *pool = pool_after(e, NULL); pool; pool = pool_after(e, pool)) {
		struct pool_stats s = pool_stats(pool);
		to->size += s.size;
		to->idle += s.idle;
		to->lent += s.lent;
		to->opening += s.opening;
		to->waiting += s.waiting;
	}
}

static struct moongate_endpoint describe(const struct endpoint *e)
{
	static const char *const roles[] = {
	        [ROLE_UNKNOWN] = "unknown", [ROLE_PRIMARY] = "primary", [ROLE_REPLICA] = "replica"};
	struct moongate_endpoint to = {.name = e->name,
	                               .role = roles[e->role],
	                               .state = health_state_name(e->health.state),
	                               .error = e->last_error,
	                               .region = e->region,
	                               .usable = health_usable(&e->health) && !e->drained,
	                               .weight = e->weight,
	                               .latency = e->latency,
	                               .lag = e->lag};
	add_pools(&to, e);
	return to;
}

size_t moongate_endpoints(const struct moongate_cluster *c, struct moongate_endpoint *endpoints,
                          size_t room)
{
	size_t count = 0;
	for (size_t i = 0; i < c->cluster->endpoint_count; i++) {
		const struct endpoint *e = c->cluster->endpoints[i];
		if (e->absent)
			continue;
		if (count < room)
			endpoints[count] = describe(e);
		count++;
	}
	return count;
}
