/* endpoint.c - what is learned of an endpoint, from its probe and from traffic. */
/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/random.h"
#include "cluster/balance.h"
#include "cluster/chase.h"
#include "cluster/cluster.h"
#include "cluster/dispatch.h"
#include "cluster/probe.h"

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

void endpoint_report(struct endpoint *e, bool ok, const char *reason)
{
	struct context *context = e->cluster->context;
	double now = clock_now();
	unsigned attempts = e->health.attempts;
	enum health_state before = e->health.state;
	e->reported = now;
	enum health_change change = health_report(&e->health, &e->cluster->health, ok, now,
	                                          random_unit(&context->random));
	if (!ok) {
		forget(e);
		snprintf(e->last_error, sizeof e->last_error, "%s", reason);
		/* In DOWN only failed trials count: the rest of a dead endpoint's servers say
		 * nothing new. */
		if (change != HEALTH_SAME || before != HEALTH_DOWN ||
		    attempts != e->health.attempts)
			tell_failure(e, change, now);
	} else if (change == HEALTH_WENT_UP) {
		e->last_error[0] = '\0';
		log_info(log_of(e), "endpoint up", LOG_T("endpoint", e->name),
		         LOG_T("role", role_name(e->role)), LOG_S("latency", e->latency));
	}
	probe_reschedule(e->probe);
	if (ok && !list_empty(&e->cluster->parked))
		dispatch_wake(e->cluster);
}

static void take_role(struct endpoint *e, enum role role)
{
	if (e->role == role)
		return;
	log_warn(log_of(e), "role changed", LOG_T("endpoint", e->name),
	         LOG_T("from", role_name(e->role)), LOG_T("to", role_name(role)));
	e->role = role;
	e->incarnation++;
	e->fresh_as_of = -INFINITY;
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
	take_role(e, a->role);
	e->timeline = a->timeline;
	e->position = a->position;
	e->latency = a->paused > 0 ? balance_latency_within(e->latency, a->latency - a->paused,
	                                                    a->latency)
	                           : balance_latency(e->latency, a->latency);
	if (a->role == ROLE_PRIMARY)
		follow_primary(e, a);
	else
		follow_replica(e, a);
	endpoint_report(e, true, NULL);
}

void endpoint_refused(struct endpoint *e, const char *reason)
{
	bool news = strcmp(e->last_error, reason) != 0;
	endpoint_report(e, true, NULL);
	if (!news)
		return;
	snprintf(e->last_error, sizeof e->last_error, "%s", reason);
	log_warn(log_of(e), "the endpoint lets no probe in; its role is taken from the script",
	         LOG_T("endpoint", e->name), LOG_T("reason", reason),
	         LOG_T("role", role_name(e->role)));
}

static void replace(char **kept, const char *text)
{
	if (*kept && strcmp(*kept, text) == 0)
		return;
	char *copy = strdup(text);
	if (!copy)
		return;
	free(*kept);
	*kept = copy;
}

void endpoint_admitted(struct endpoint *e, const char *user, const char *database)
{
	if (user)
		replace(&e->cluster->probe_user, user);
	if (database)
		replace(&e->cluster->probe_database, database);
}

void endpoint_suspect(struct endpoint *e)
{
	probe_hurry(e->probe);
}

double endpoint_staleness(const struct endpoint *e, double now)
{
	if (e->role == ROLE_PRIMARY)
		return 0;
	return isfinite(e->fresh_as_of) ? fmax(0, now - e->fresh_as_of) : INFINITY;
}
