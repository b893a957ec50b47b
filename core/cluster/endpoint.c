/* endpoint.c - what is learned of an endpoint, from its probe and from traffic. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/random.h"
#include "cluster/alarms.h"
#include "cluster/balance.h"
#include "cluster/chase.h"
#include "cluster/cluster.h"
#include "cluster/dispatch.h"
#include "cluster/probe.h"
#include "cluster/refusal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct log *log_of(const struct endpoint *e)
{
	return &e->cluster->context->log;
}

static double until_next(const struct endpoint *e, double now)
{
	return isfinite(e->health.next) ? fmax(0, e->health.next - now) : 0;
}

static void tell_failure(const struct endpoint *e, enum health_change change, double now)
{
	const struct log_field name = LOG_T("endpoint", e->name),
	                       why = LOG_T("reason", e->last_error),
	                       next = LOG_S("retry_in", until_next(e, now));
	switch (change) {
	case HEALTH_WENT_DOWN:
		log_error(log_of(e), "endpoint down", name, why,
		          LOG_N("failures", e->health.failures), next);
		break;
	case HEALTH_GAVE_UP:
		log_error(log_of(e), "endpoint failed; it is tried again when a query wants it",
		          name, why, LOG_N("attempt", e->health.attempts));
		break;
	default:
		if (e->health.state == HEALTH_DOWN)
			log_warn(log_of(e), "connection attempt failed", name,
			         LOG_N("attempt", e->health.attempts), why, next);
		else
			log_warn(log_of(e), "endpoint does not answer", name,
			         LOG_N("failures", e->health.failures), why, next);
	}
}

/* What was known of its replay position may not hold any more. */
static void forget(struct endpoint *e)
{
	e->incarnation++;
	if (e->role == ROLE_PRIMARY)
		return;
	e->fresh_as_of = -INFINITY;
	e->position = 0;
}

static void came_up(struct endpoint *e)
{
	e->last_error[0] = '\0';
	breaker_reset(&e->breaker);
	log_info(log_of(e), "endpoint up", LOG_T("endpoint", e->name),
	         LOG_T("role", role_name(e->role)), LOG_S("latency", e->latency));
}

void endpoint_report(struct endpoint *e, bool ok, const char *reason)
{
	struct context *context = e->cluster->context;
	double now = clock_now();
	unsigned attempts = e->health.attempts;
	enum health_state before = e->health.state;
	e->reported = now;
	enum health_change change = health_report(&e->health, &e->cluster->health, ok, now,
	                                          random_unit(&context->random));
	if (change == HEALTH_WENT_DOWN)
		e->went_down = now;
	if (!ok) {
		forget(e);
		snprintf(e->last_error, sizeof e->last_error, "%s", reason);
		/* In DOWN only failed trials count: the rest of a dead endpoint's servers say
		 * nothing new. */
		if (change != HEALTH_SAME || before != HEALTH_DOWN ||
		    attempts != e->health.attempts)
			tell_failure(e, change, now);
	} else if (change == HEALTH_WENT_UP) {
		came_up(e);
	}
	cluster_review(e->cluster);
	probe_reschedule(e->probe);
	if (ok && !list_empty(&e->cluster->parked))
		dispatch_wake(e->cluster);
}

static void take_role(struct endpoint *e, enum role role)
{
	if (e->role == role)
		return;
	log_line(log_of(e), e->role == ROLE_UNKNOWN ? LOG_INFO : LOG_WARN, "role changed",
	         LOG_T("endpoint", e->name), LOG_T("from", role_name(e->role)),
	         LOG_T("to", role_name(role)));
	e->role = role;
	e->incarnation++;
	e->fresh_as_of = -INFINITY;
}

/* A server that has restarted may have gone back: a standby replays from its last restart point,
 * and is asked for its position only when it has let clients in already. */
static void take_identity(struct endpoint *e, const struct answer *a)
{
	bool restarted = e->started != 0 && a->started != e->started;
	bool other = e->system && a->system && a->system != e->system;
	if (restarted || other)
		log_warn(log_of(e),
		         other ? "it is another PostgreSQL system now" : "it has restarted",
		         LOG_T("endpoint", e->name), LOG_T("role", role_name(a->role)));
	if (restarted || other || a->timeline != e->timeline ||
	    (a->role == e->role && a->position < e->position))
		forget(e);
	/* Whoever has been the primary says which system the cluster is. */
	if (other && e == e->cluster->primary)
		e->cluster->system = a->system;
	e->system = a->system ? a->system : e->system;
	e->started = a->started;
}

static void follow_primary(struct endpoint *e, const struct answer *a)
{
	struct freshness *f = &e->cluster->freshness;
	f->segment_size = a->segment_size;
	e->fresh_as_of = INFINITY;
	e->lag = 0;
	e->lag_bytes = 0;
	if (cluster_primary(e->cluster) != e)
		return;
	freshness_primary(f, a->sent, a->timeline, a->position);
	chase_primary(e->cluster);
}

static void follow_replica(struct endpoint *e, const struct answer *a)
{
	const struct endpoint *primary = cluster_primary(e->cluster);
	uint64_t goal = primary ? freshness_reachable(primary->position, a->segment_size) : 0;
	e->lag_bytes = goal > a->position ? goal - a->position : 0;
	e->lag = e->lag_bytes ? a->replay_age : 0;
	double before = e->fresh_as_of;
	e->fresh_as_of = freshness_of(&e->cluster->freshness, a->timeline, a->position, before);
	chase_replica(e, before, a->sent + a->latency);
}

void endpoint_answered(struct endpoint *e, const struct answer *a)
{
	take_identity(e, a);
	take_role(e, a->role);
	e->awaited = e->refuses = false;
	e->read_only = a->read_only;
	e->timeline = a->timeline;
	e->position = a->position;
	e->latency = a->paused > 0 ? balance_latency_within(e->latency, a->latency - a->paused,
	                                                    a->latency)
	                           : balance_latency(e->latency, a->latency);
	cluster_review(e->cluster);
	if (a->role == ROLE_PRIMARY)
		follow_primary(e, a);
	else
		follow_replica(e, a);
	endpoint_report(e, true, NULL);
}

void endpoint_refused(struct endpoint *e, const char *reason, bool as_nobody)
{
	bool news = strcmp(e->last_error, reason) != 0;
	e->awaited = e->awaited && as_nobody;
	e->refuses = true;
	endpoint_report(e, true, NULL);
	if (as_nobody && e->cluster->introduced)
		endpoint_check(e);
	if (!news)
		return;
	snprintf(e->last_error, sizeof e->last_error, "%s", reason);
	log_warn(log_of(e), "the endpoint lets no probe in; its role is taken from the script",
	         LOG_T("endpoint", e->name), LOG_T("reason", reason),
	         LOG_T("role", role_name(e->role)));
}

static bool replace(char **kept, const char *text)
{
	if (!text || (*kept && strcmp(*kept, text) == 0))
		return false;
	char *copy = strdup(text);
	if (!copy)
		return false;
	free(*kept);
	*kept = copy;
	return true;
}

static void introduce(struct cluster *c, const char *user, const char *database)
{
	bool news = !c->introduced;
	news = replace(&c->probe_user, user) || news;
	news = replace(&c->probe_database, database) || news;
	c->introduced = true;
	for (size_t i = 0; news && i < c->endpoint_count; i++)
		if (c->endpoints[i]->refuses)
			endpoint_check(c->endpoints[i]);
}

void endpoint_admitted(struct endpoint *e, const char *user, const char *database)
{
	introduce(e->cluster, user, database);
}

void cluster_awaited(struct cluster *c, const char *user, const char *database)
{
	if (!c->introduced)
		introduce(c, user, database);
	for (size_t i = 0; c->suspect && i < c->endpoint_count; i++)
		probe_reschedule(c->endpoints[i]->probe);
}

void endpoint_check(struct endpoint *e)
{
	probe_hurry(e->probe);
}

void endpoint_suspect(struct endpoint *e)
{
	forget(e);
	health_suspect(&e->health, &e->cluster->health);
	cluster_review(e->cluster);
	endpoint_check(e);
}

void endpoint_failed(struct endpoint *e)
{
	if (!breaker_failure(&e->breaker, &e->cluster->breaker, clock_now()))
		return;
	log_warn(log_of(e), "traffic fails too often: the endpoint is left out for a while",
	         LOG_T("endpoint", e->name), LOG_S("pause", e->cluster->breaker.pause));
	news_note(e->cluster);
}

void endpoint_lost(struct endpoint *e)
{
	endpoint_failed(e);
	endpoint_suspect(e);
}

void endpoint_unreachable(struct endpoint *e, const char *sqlstate, const char *reason)
{
	if (!refusal_is_final(sqlstate))
		endpoint_failed(e);
	if (refusal_proves_life(sqlstate))
		return;
	endpoint_report(e, false, reason);
	endpoint_check(e);
}

void endpoint_served(struct endpoint *e)
{
	if (!breaker_success(&e->breaker, &e->cluster->breaker))
		return;
	log_info(log_of(e), "traffic succeeds again", LOG_T("endpoint", e->name));
	news_note(e->cluster);
}

static void on_trimming(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct endpoint *e = LIST_ENTRY(timer, struct endpoint, trimming);
	pools_trim(e);
	if (!e->drained && !list_empty(&e->cluster->parked))
		dispatch_wake(e->cluster);
}

void endpoint_init(struct endpoint *e)
{
	ev_init(&e->trimming, on_trimming);
}

void endpoint_trim(struct endpoint *e)
{
	const struct context *context = e->cluster->context;
	ev_timer_stop(context->loop, &e->trimming);
	ev_timer_set(&e->trimming, 0, 0);
	alarm_start(context, &e->trimming);
}

void endpoint_moved(struct endpoint *e)
{
	forget(e);
	health_retry(&e->health, clock_now());
	probe_moved(e->probe);
	endpoint_trim(e);
}

void endpoint_retry(struct endpoint *e)
{
	health_retry(&e->health, clock_now());
	probe_reschedule(e->probe);
	endpoint_check(e);
}

void endpoint_drain(struct endpoint *e, bool drained)
{
	if (e->ordered_out == drained)
		return;
	e->ordered_out = drained;
	e->drained = drained || e->absent;
	log_info(log_of(e),
	         drained ? "endpoint drained: it gets no new work" : "endpoint undrained",
	         LOG_T("endpoint", e->name), LOG_N("in_flight", e->in_flight));
	cluster_review(e->cluster);
	endpoint_trim(e);
}

double endpoint_staleness(const struct endpoint *e, double now)
{
	if (e->role == ROLE_PRIMARY && e->standing == STANDING_FINE)
		return 0;
	return isfinite(e->fresh_as_of) ? fmax(0, now - e->fresh_as_of) : INFINITY;
}
