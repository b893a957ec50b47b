/* metrics.c - /metrics: what is counted and measured, in Prometheus's text format 0.0.4.
 *
 * All samples of one name stand together, so each name walks over what it is about. */
/* SPDX-License-Identifier: MIT */
#include "router/metrics.h"
#include "base/clock.h"
#include "base/version.h"
#include "cluster/patroni.h"
#include "cluster/pause.h"
#include "cluster/pool.h"
#include "router/admin_pages.h"
#include "router/pins.h"
#include "router/worker.h"

#include <math.h>
#include <stdint.h>

void metrics_head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP moongate_%s %s\n# TYPE moongate_%s %s\n", name, help, name, type);
}

void metrics_value(FILE *out, double value)
{
	if (isnan(value))
		fputs(" NaN\n", out);
	else if (isinf(value))
		fputs(value > 0 ? " +Inf\n" : " -Inf\n", out);
	else
		fprintf(out, " %.15g\n", value);
}

void metrics_label(FILE *out, const char *name, const char *text)
{
	fprintf(out, "%s=\"", name);
	for (; *text; text++) {
		if (*text == '\n') {
			fputs("\\n", out);
			continue;
		}
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static void put_plain(FILE *out, const char *name, const char *type, const char *help, double value)
{
	metrics_head(out, name, type, help);
	fprintf(out, "moongate_%s", name);
	metrics_value(out, value);
}

static void put_router(FILE *out, const struct worker *w)
{
	unsigned replications = 0, active = 0;
	LIST_EACH (&w->replications, link)
		replications++;
	LIST_EACH (&w->clients, link)
		active += LIST_ENTRY(link, struct client, link)->exchange != NULL;
	metrics_head(out, "info", GAUGE, "What runs.");
	fprintf(out, "moongate_info{version=\"%s\"} 1\n", MOONGATE_VERSION);
	put_plain(out, "uptime_seconds", GAUGE, "Since the start.", clock_now() - w->started);
	put_plain(out, "clients", GAUGE, "Clients that are connected.", w->client_count);
	put_plain(out, "clients_active", GAUGE, "Clients that have or look for a server.", active);
	put_plain(out, "replication_clients", GAUGE, "Replication connections.", replications);
	put_plain(out, "servers", GAUGE, "Connections to PostgreSQL, probes included.",
	          w->context.servers);
}

/* Those that have left, and have not been let go yet. */
static unsigned count_leaving(const struct cluster *c)
{
	unsigned count = 0;
	for (size_t i = 0; i < c->endpoint_count; i++)
		count += c->endpoints[i]->absent && c->endpoints[i]->in_flight;
	return count;
}

static void put_reloads(FILE *out, const struct worker *w)
{
	unsigned retired = 0;
	for (size_t i = 0; i < script_cluster_count(w->script); i++)
		retired += count_leaving(script_cluster_at(w->script, i)->cluster);
	LIST_EACH (&w->retired, link)
		retired += (unsigned)LIST_ENTRY(link, struct cluster, retired)->endpoint_count;
	put_plain(out, "reloads_total", COUNTER, "Scripts that have taken over.",
	          (double)w->reloads.done);
	put_plain(out, "reload_failures_total", COUNTER, "Scripts that could not.",
	          (double)w->reloads.failed);
	put_plain(out, "endpoints_retired", GAUGE,
	          "Endpoints that are no more, and have servers in use.", retired);
}

static void put_pins(FILE *out, const struct worker *w)
{
	unsigned counts[PINS_KINDS] = {0};
	pins_tally(w, counts);
	metrics_head(out, "clients_pinned", GAUGE, "Clients that keep their server, by reason.");
	for (unsigned i = 0; i < PINS_KINDS; i++) {
		const char *reason = pins_reason(1u << i);
		if (reason)
			fprintf(out, "moongate_clients_pinned{reason=\"%s\"} %u\n", reason,
			        counts[i]);
	}
}

struct cluster_metric {
	const char *name, *type, *help;
	double (*value)(const struct script_cluster *cluster);
};

static double calls(const struct script_cluster *c)
{
	return (double)policy_stats(c->policy).calls;
}

static double errors(const struct script_cluster *c)
{
	return (double)policy_stats(c->policy).errors;
}

static double tripped(const struct script_cluster *c)
{
	return policy_stats(c->policy).tripped;
}

static double parked(const struct script_cluster *c)
{
	unsigned count = 0;
	LIST_EACH (&c->cluster->parked, link)
		count++;
	return count;
}

static double held(const struct script_cluster *c)
{
	return c->cluster->held;
}

static double paused(const struct script_cluster *c)
{
	return c->cluster->paused;
}

static double at_work(const struct script_cluster *c)
{
	return cluster_servers_at_work(c->cluster);
}

static double patroni_answers(const struct script_cluster *c)
{
	return patroni_trouble(c->cluster->patroni) == NULL;
}

static const struct cluster_metric of_cluster[] = {
        {"policy_calls_total", COUNTER, "Questions to the policy.", calls},
        {"policy_errors_total", COUNTER, "Errors of the policy; the default route was taken.",
         errors},
        {"policy_tripped", GAUGE, "1: after too many errors the policy is not asked any more.",
         tripped},
        {"queries_parked", GAUGE, "Queries that wait for an endpoint.", parked},
        {"queries_held", GAUGE, "Of these, those that hold_limit counts.", held},
        {"paused", GAUGE, "1: no new work is sent.", paused},
        {"servers_at_work", GAUGE, "Servers lent or being opened.", at_work},
        {"patroni_up", GAUGE, "0: Patroni does not answer. 1: it does, or is not asked.",
         patroni_answers},
};

static void put_clusters(FILE *out, const struct script *script, const struct cluster_metric *m)
{
	metrics_head(out, m->name, m->type, m->help);
	for (size_t i = 0; i < script_cluster_count(script); i++) {
		const struct script_cluster *c = script_cluster_at(script, i);
		fprintf(out, "moongate_%s{", m->name);
		metrics_label(out, "cluster", c->database);
		fputc('}', out);
		metrics_value(out, m->value(c));
	}
}

static void put_counters(FILE *out, const struct script *script)
{
	metrics_head(out, "failures_total", COUNTER, "What was repaired, held or told, by kind.");
	for (size_t i = 0; i < script_cluster_count(script); i++) {
		const struct script_cluster *c = script_cluster_at(script, i);
		for (unsigned k = 0; k < COUNTERS; k++) {
			fputs("moongate_failures_total{", out);
			metrics_label(out, "cluster", c->database);
			fprintf(out, ",kind=\"%s\"}", counter_name((enum counter)k));
			metrics_value(out, (double)c->cluster->counters.values[k]);
		}
	}
}

struct endpoint_metric {
	const char *name, *help;
	double (*value)(const struct endpoint *endpoint);
};

static double up(const struct endpoint *e)
{
	return e->health.state == HEALTH_UP;
}

static double is_primary(const struct endpoint *e)
{
	return e->role == ROLE_PRIMARY;
}

static double draining(const struct endpoint *e)
{
	return e->drained;
}

static double breaker_open(const struct endpoint *e)
{
	return e->breaker.state != BREAKER_CLOSED;
}

static double weight(const struct endpoint *e)
{
	return e->weight;
}

static double lag(const struct endpoint *e)
{
	return e->lag;
}

static double lag_bytes(const struct endpoint *e)
{
	return (double)e->lag_bytes;
}

static double staleness(const struct endpoint *e)
{
	return endpoint_staleness(e, clock_now());
}

static double latency(const struct endpoint *e)
{
	return e->latency;
}

static double in_flight(const struct endpoint *e)
{
	return e->in_flight;
}

static double waiting(const struct endpoint *e)
{
	return e->waiting;
}

static double failures(const struct endpoint *e)
{
	return e->health.failures;
}

static const struct endpoint_metric of_endpoint[] = {
        {"endpoint_up", "1: it answers its probes.", up},
        {"endpoint_primary", "1: it is a primary, as last probed.", is_primary},
        {"endpoint_draining", "1: it gets no new work.", draining},
        {"endpoint_breaker_open", "1: its traffic fails, and goes elsewhere.", breaker_open},
        {"endpoint_weight", "Its weight.", weight},
        {"endpoint_failures", "Failures in a row.", failures},
        {"endpoint_lag_seconds", "Behind the primary, by its own account.", lag},
        {"endpoint_lag_bytes", "WAL behind the primary's last known position.", lag_bytes},
        {"endpoint_staleness_seconds", "Since it was last known to hold all commits.", staleness},
        {"endpoint_latency_seconds", "Moving average of the probes' round trips.", latency},
        {"endpoint_in_flight", "Servers lent.", in_flight},
        {"endpoint_waiting", "Borrowers that wait for one.", waiting},
};

void metrics_names(FILE *out, const char *name, const struct script_cluster *c,
                   const struct endpoint *e)
{
	fprintf(out, "moongate_%s{", name);
	metrics_label(out, "cluster", c->database);
	fputc(',', out);
	metrics_label(out, "endpoint", e->name);
}

static void put_endpoints(FILE *out, const struct script *script, const struct endpoint_metric *m)
{
	metrics_head(out, m->name, GAUGE, m->help);
	for (size_t i = 0; i < script_cluster_count(script); i++) {
		const struct script_cluster *c = script_cluster_at(script, i);
		for (size_t k = 0; k < c->cluster->endpoint_count; k++) {
			const struct endpoint *e = c->cluster->endpoints[k];
			if (e->absent)
				continue;
			metrics_names(out, m->name, c, e);
			fputc('}', out);
			metrics_value(out, m->value(e));
		}
	}
}

struct pool_metric {
	const char *name, *type, *help;
	double (*value)(const struct pool_stats *stats);
};

#define OF_POOL(field)                                                                             \
	static double pool_##field(const struct pool_stats *stats)                                 \
	{                                                                                          \
		return (double)stats->field;                                                       \
	}
OF_POOL(size)
OF_POOL(idle)
OF_POOL(lent)
OF_POOL(opening)
OF_POOL(waiting)
OF_POOL(opened)
OF_POOL(closed)
OF_POOL(acquired)
OF_POOL(timeouts)
OF_POOL(failures)

static const struct pool_metric of_pool[] = {
        {"pool_size", GAUGE, "Servers that it may have, without the reserve.", pool_size},
        {"pool_idle", GAUGE, "Servers that nobody uses.", pool_idle},
        {"pool_lent", GAUGE, "Servers in use.", pool_lent},
        {"pool_opening", GAUGE, "Servers being opened.", pool_opening},
        {"pool_waiting", GAUGE, "Borrowers that wait.", pool_waiting},
        {"pool_opened_total", COUNTER, "Servers opened.", pool_opened},
        {"pool_closed_total", COUNTER, "Servers closed.", pool_closed},
        {"pool_acquired_total", COUNTER, "Servers lent.", pool_acquired},
        {"pool_timeouts_total", COUNTER, "Borrowers that got none in time.", pool_timeouts},
        {"pool_failures_total", COUNTER, "Servers that could not be opened.", pool_failures},
};

/* Pools are forgotten some time after their last server has gone, and their counts with them. */
static void put_pools_of(FILE *out, const struct script_cluster *c, const struct endpoint *e,
                         const struct pool_metric *m)
{
	for (const struct pool *p = pool_after(e, NULL); p; p = pool_after(e, p)) {
		const struct pool_stats stats = pool_stats(p);
		metrics_names(out, m->name, c, e);
		fputc(',', out);
		metrics_label(out, "user", stats.user ? stats.user : "");
		fputc(',', out);
		metrics_label(out, "database", stats.database ? stats.database : "");
		fputc('}', out);
		metrics_value(out, m->value(&stats));
	}
}

static void put_pools(FILE *out, const struct script *script, const struct pool_metric *m)
{
	metrics_head(out, m->name, m->type, m->help);
	for (size_t i = 0; i < script_cluster_count(script); i++) {
		const struct script_cluster *c = script_cluster_at(script, i);
		for (size_t k = 0; k < c->cluster->endpoint_count; k++)
			if (!c->cluster->endpoints[k]->absent)
				put_pools_of(out, c, c->cluster->endpoints[k], m);
	}
}

void admin_metrics(struct worker *w, const struct http_request *q, struct http_response *r)
{
	(void)q;
	r->type = "text/plain; version=0.0.4; charset=utf-8";
	put_router(r->body, w);
	put_reloads(r->body, w);
	put_pins(r->body, w);
	for (size_t i = 0; i < sizeof of_cluster / sizeof *of_cluster; i++)
		put_clusters(r->body, w->script, &of_cluster[i]);
	put_counters(r->body, w->script);
	metrics_policies(r->body, w->script);
	for (size_t i = 0; i < sizeof of_endpoint / sizeof *of_endpoint; i++)
		put_endpoints(r->body, w->script, &of_endpoint[i]);
	for (size_t i = 0; i < sizeof of_pool / sizeof *of_pool; i++)
		put_pools(r->body, w->script, &of_pool[i]);
	metrics_statements(r->body, w->script);
}
