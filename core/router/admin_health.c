/* admin_health.c - /health, /ready and /live.
 *
 * /health is strict: one database that is configured and down makes it unhealthy, whether or not
 * queries go on elsewhere. /ready is for who sends clients here: they are served. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/version.h"
#include "router/admin_pages.h"
#include "router/json.h"
#include "router/worker.h"

#include <math.h>
#include <string.h>

/* ABSENT: nothing of the kind is configured. Of several the worst one counts. */
enum link_state { ABSENT, CONNECTED, DISCONNECTED };

static void worsen(enum link_state *state, enum link_state other)
{
	if (other > *state)
		*state = other;
}

/* An endpoint that has not answered yet is not connected. */
static enum link_state state_of(const struct endpoint *e)
{
	return e && e->health.state == HEALTH_UP ? CONNECTED : DISCONNECTED;
}

/* All but the one that is the primary now are there to be replicas. */
static void look_at(const struct cluster *c, enum link_state *primary, enum link_state *replica)
{
	const struct endpoint *p = cluster_primary(c);
	worsen(primary, state_of(p));
	if (!p && c->endpoint_count == 1)
		return;
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (c->endpoints[i] != p)
			worsen(replica, state_of(c->endpoints[i]));
}

static void put_state(FILE *out, const char *key, enum link_state state)
{
	static const char *const names[] = {"null", "\"connected\"", "\"disconnected\""};
	fprintf(out, ",\"%s\":%s", key, names[state]);
}

static void put_text(FILE *out, const char *key, const char *text)
{
	fprintf(out, ",\"%s\":", key);
	if (text && *text)
		json_put_string(out, text, strlen(text));
	else
		fputs("null", out);
}

/* JSON knows no infinity. */
static void put_number(FILE *out, const char *key, double value)
{
	if (isfinite(value))
		fprintf(out, ",\"%s\":%.6g", key, value);
	else
		fprintf(out, ",\"%s\":null", key);
}

static void put_endpoint(FILE *out, const char *cluster, const struct endpoint *e)
{
	bool up = state_of(e) == CONNECTED;
	fputs("{\"cluster\":", out);
	json_put_string(out, cluster, strlen(cluster));
	put_text(out, "name", e->name);
	put_text(out, "role", role_name(e->role));
	put_text(out, "status", up ? "connected" : "disconnected");
	put_text(out, "state", health_state_name(e->health.state));
	put_text(out, "error", e->last_error);
	put_text(out, "breaker", breaker_state_name(e->breaker.state));
	fprintf(out, ",\"draining\":%s", e->drained ? "true" : "false");
	put_number(out, "lag", e->lag);
	put_number(out, "staleness", endpoint_staleness(e, clock_now()));
	put_number(out, "latency", e->latency);
	fputs("}", out);
}

static void put_endpoints(FILE *out, const struct script *script, const char *only)
{
	const char *comma = "";
	fputs(",\"endpoints\":[", out);
	for (size_t i = 0; i < script_cluster_count(script); i++) {
		const struct script_cluster *c = script_cluster_at(script, i);
		if (only && strcmp(only, c->database) != 0)
			continue;
		for (size_t k = 0; k < c->cluster->endpoint_count; k++, comma = ",") {
			fputs(comma, out);
			put_endpoint(out, c->database, c->cluster->endpoints[k]);
		}
	}
	fputs("]", out);
}

void admin_health(struct worker *w, const struct http_request *q, struct http_response *r)
{
	const char *only = http_argument(q, "cluster");
	enum link_state primary = ABSENT, replica = ABSENT;
	for (size_t i = 0; i < script_cluster_count(w->script); i++) {
		const struct script_cluster *c = script_cluster_at(w->script, i);
		if (!only || strcmp(only, c->database) == 0)
			look_at(c->cluster, &primary, &replica);
	}
	if (primary == ABSENT) {
		admin_say(r, 404, "error", "the script has no such cluster");
		return;
	}
	bool healthy = primary == CONNECTED && replica != DISCONNECTED;
	r->status = healthy ? 200 : 503;
	fprintf(r->body, "{\"status\":\"%s\",\"version\":\"%s\"", healthy ? "healthy" : "unhealthy",
	        MOONGATE_VERSION);
	put_state(r->body, "db_primary", primary);
	put_state(r->body, "db_replica", replica);
	put_endpoints(r->body, w->script, only);
	fputs("}\n", r->body);
}

/* The primary reads, too, so nothing else has to be there. */
static bool serves(const struct cluster *c)
{
	const struct endpoint *primary = cluster_primary(c);
	/* STARTING and yet up: it lets no probe in before a client has said its name. */
	return primary && primary->health.state == HEALTH_UP && !primary->drained &&
	       (c->topology == TOPOLOGY_PRIMARY || c->topology == TOPOLOGY_STARTING);
}

void admin_ready(struct worker *w, const struct http_request *q, struct http_response *r)
{
	(void)q;
	for (size_t i = 0; i < script_cluster_count(w->script); i++) {
		const struct script_cluster *c = script_cluster_at(w->script, i);
		if (serves(c->cluster))
			continue;
		r->status = 503;
		fputs("{\"ready\":false,\"reason\":\"no primary is up\",\"cluster\":", r->body);
		json_put_string(r->body, c->database, strlen(c->database));
		fputs("}\n", r->body);
		return;
	}
	fputs("{\"ready\":true}\n", r->body);
}

void admin_live(struct worker *w, const struct http_request *q, struct http_response *r)
{
	(void)w;
	(void)q;
	fputs("{\"live\":true}\n", r->body);
}
