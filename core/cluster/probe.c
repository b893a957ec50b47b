/* probe.c - see probe.h.
 *
 *        +---------------- health.next ----------------+
 *        v                                             |
 *     WAITING -- no connection --> CONNECTING --+      |
 *        |                                      v      |
 *        +------- connected ---------------> ASKING ---+ answer, timeout or loss
 */
/* SPDX-License-Identifier: MIT */
#include "cluster/probe.h"

#include "base/clock.h"
#include "base/plain.h"
#include "cluster/addresses.h"
#include "cluster/alarms.h"
#include "cluster/cluster.h"
#include "cluster/conninfo.h"
#include "cluster/exec.h"
#include "cluster/refusal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The insert position covers commits that are not yet written (synchronous_commit = off). The
 * timeline is part of the WAL file's name on a primary; a replica has it from its sender, or where
 * that may not be read, from what it last noted in its control file. What a role or a database is
 * set to says nothing of the instance's own read-only state. The start has microseconds. */
static const char question[] =
        "select r, case when r then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end "
        "- '0/0',"
        " case when r then coalesce((select received_tli from pg_stat_wal_receiver),"
        " (select greatest(timeline_id, min_recovery_end_timeline)"
        "  from pg_control_checkpoint(), pg_control_recovery()))"
        " else ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int "
        "end,"
        " coalesce(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()), 0),"
        " pg_size_bytes(current_setting('wal_segment_size')),"
        " (select system_identifier from pg_control_system()),"
        " extract(epoch from pg_postmaster_start_time()),"
        " case when current_setting('default_transaction_read_only') = 'on' then"
        " (select source not in ('user', 'database', 'database user', 'client', 'session')"
        " from pg_settings where name = 'default_transaction_read_only') end"
        " from (select pg_is_in_recovery() as r) as role";

struct probe {
	struct endpoint *endpoint;
	struct server *server; /* NULL: none yet; with exec idle while connecting */
	bool busy;             /* CONNECTING or ASKING */
	bool started, retired;
	bool as_nobody;     /* it was begun without anybody's name to give */
	double sent;        /* when the question left */
	double stood_still; /* how long the loop had done so by then */
	double began;       /* when the last probe began */
	double soon;        /* when the next one was asked for; INFINITY: it was not */
	struct exec exec;
	ev_timer timer;
};

static struct context *context_of(const struct probe *p)
{
	return p->endpoint->cluster->context;
}

static void hang_up(struct probe *p)
{
	exec_cancel(&p->exec);
	server_free(p->server);
	p->server = NULL;
	p->busy = false;
}

static void fail(struct probe *p, const char *reason)
{
	char kept[256];
	snprintf(kept, sizeof kept, "%s", reason);
	hang_up(p);
	endpoint_report(p->endpoint, false, kept);
}

/* A value of the one row; 0 for NULL. */
static double number(const PGresult *result, int column)
{
	return plain_number(PQgetvalue(result, 0, column), NULL);
}

static void read_answer(struct probe *p, const PGresult *result, double now)
{
	const struct answer answer = {
	        .role = *PQgetvalue(result, 0, 0) == 't' ? ROLE_REPLICA : ROLE_PRIMARY,
	        .position = strtoull(PQgetvalue(result, 0, 1), NULL, 10),
	        .timeline = (uint32_t)number(result, 2),
	        .replay_age = number(result, 3),
	        .segment_size = (uint32_t)number(result, 4),
	        .system = strtoull(PQgetvalue(result, 0, 5), NULL, 10),
	        .started = number(result, 6),
	        .read_only = *PQgetvalue(result, 0, 7) == 't',
	        .sent = p->sent,
	        .latency = now - p->sent,
	        .paused = context_of(p)->stood_still - p->stood_still,
	};
	endpoint_answered(p->endpoint, &answer);
}

/* Between two questions a server has nothing to say but that it is going, or that its settings have
 * changed. */
static void on_idle_event(struct server *server, int events)
{
	(void)events;
	struct probe *p = server->holder;
	hang_up(p);
	endpoint_suspect(p->endpoint);
}

static void on_answer(struct exec *exec, enum status status, PGresult *result)
{
	struct probe *p = LIST_ENTRY(exec, struct probe, exec);
	p->busy = false;
	if (status != ST_OK) {
		fail(p, status == ST_TIMEOUT ? "the probe was not answered in time"
		                             : p->server->error);
		return;
	}
	server_hold(p->server, on_idle_event, p);
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1) {
		read_answer(p, result, clock_now());
	} else {
		fail(p, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	}
	PQclear(result);
}

static void ask(struct probe *p)
{
	const struct exec_query query = {
	        .sql = question, .count = -1, .timeout = p->endpoint->cluster->health.timeout};
	p->sent = clock_now();
	p->stood_still = context_of(p)->stood_still;
	p->busy = true;
	if (exec_start(&p->exec, p->server, &query, on_answer) != ST_OK)
		fail(p, p->server->error);
}

static void on_connected(struct server *server, enum status status, void *arg)
{
	struct probe *p = arg;
	if (status == ST_OK) {
		ask(p);
		return;
	}
	if (!refusal_proves_life(server->sqlstate)) {
		fail(p, server->error);
		return;
	}
	/* It is there, but will not let us in: its role stays as configured. */
	char reason[sizeof server->error];
	snprintf(reason, sizeof reason, "%s", server->error);
	hang_up(p);
	endpoint_refused(p->endpoint, reason, p->as_nobody);
}

static bool names_everything(const struct conninfo *info)
{
	return conninfo_get(info, "user") && conninfo_get(info, "dbname");
}

static void begin(struct probe *p)
{
	const struct cluster *cluster = p->endpoint->cluster;
	if (p->busy || p->retired)
		return;
	ev_timer_stop(context_of(p)->loop, &p->timer);
	p->began = clock_now();
	p->soon = INFINITY;
	if (p->server) {
		ask(p);
		return;
	}
	p->busy = true;
	p->as_nobody = !cluster->introduced && !names_everything(p->endpoint->conninfo);
	p->server = server_open(p->endpoint, cluster->probe_user, cluster->probe_database,
	                        cluster->health.timeout, on_connected, p);
	if (!p->server)
		fail(p, "out of memory");
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	begin(LIST_ENTRY(timer, struct probe, timer));
}

struct probe *probe_new(struct endpoint *endpoint)
{
	struct probe *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->endpoint = endpoint;
	p->soon = INFINITY;
	ev_init(&p->timer, on_time);
	return p;
}

void probe_free(struct probe *p)
{
	if (!p)
		return;
	ev_timer_stop(context_of(p)->loop, &p->timer);
	hang_up(p);
	free(p);
}

void probe_start(struct probe *p)
{
	if (p->started && !p->retired)
		return;
	p->started = true;
	p->retired = false;
	/* Of one alone there is nothing to find out: traffic may try it at once. */
	p->endpoint->awaited = p->endpoint->cluster->endpoint_count > 1;
	begin(p);
}

void probe_retire(struct probe *p)
{
	p->retired = true;
	ev_timer_stop(context_of(p)->loop, &p->timer);
	hang_up(p);
}

static double due(const struct probe *p, double now)
{
	const struct endpoint *e = p->endpoint;
	double next = e->health.next;
	if (!health_usable(&e->health))
		return next;
	next = fmin(next, p->soon);
	if (e != e->cluster->primary && cluster_searches(e->cluster, now))
		next = fmin(next, p->began + PROBE_SEARCH);
	return next;
}

void probe_reschedule(struct probe *p)
{
	const struct context *context = context_of(p);
	double now = clock_now(), next = due(p, now);
	ev_timer_stop(context->loop, &p->timer);
	if (p->busy || p->retired || next == INFINITY)
		return;
	ev_timer_set(&p->timer, fmax(0, next - now), 0);
	alarm_start(context, &p->timer);
}

void probe_hurry(struct probe *p)
{
	probe_soon(p, PROBE_QUIET);
}

void probe_moved(struct probe *p)
{
	const struct server *s = p->server;
	if (s && !s->opening && !addresses_include(p->endpoint->addresses, PQsocket(s->conn)))
		hang_up(p);
	if (health_usable(&p->endpoint->health))
		probe_hurry(p);
	else
		probe_reschedule(p);
}

void probe_soon(struct probe *p, double pause)
{
	double at = p->began + pause;
	if (at >= p->soon)
		return;
	p->soon = at;
	probe_reschedule(p);
}

void probe_demand(struct endpoint *endpoint)
{
	if (health_demand(&endpoint->health, &endpoint->cluster->health, clock_now()))
		begin(endpoint->probe);
}
