/* subscription.c - see subscription.h. */
/* SPDX-License-Identifier: MIT */
#include "script/subscription.h"

#include "base/clock.h"
#include "base/random.h"
#include "cluster/alarms.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY UINT32_MAX /* no endpoint's serial number */

/* Firewalls forget connections that say nothing for long, and tell nobody. */
static const char keepalives[] = "keepalives_idle\0"
                                 "60\0"
                                 "keepalives_interval\0"
                                 "10\0"
                                 "keepalives_count\0"
                                 "3\0";

static void attempt(struct subscription *s);
static void ask(struct subscription *s);

static struct ev_loop *loop_of(const struct subscription *s)
{
	return s->cluster->context->loop;
}

static void enter(struct subscription *s, enum subscription_state state)
{
	s->state = state;
	s->since = clock_now();
}

static bool keep(struct subscription *s, PGnotify *notify)
{
	struct note *n = malloc(sizeof *n);
	if (!n)
		return false;
	n->notify = notify;
	list_init(&n->link);
	list_push_back(&s->notes, &n->link);
	s->count++;
	return true;
}

/* What has been read of the connection. */
static void keep_all(struct subscription *s)
{
	PGnotify *n;
	while ((n = PQnotifies(s->server->conn)))
		if (!keep(s, n))
			PQfreemem(n);
}

static void hang_up(struct subscription *s)
{
	exec_cancel(&s->exec);
	if (s->server && s->state > SUBSCRIPTION_CONNECTING)
		keep_all(s);
	server_free(s->server);
	s->server = NULL;
}

static void wait_for(struct subscription *s, double seconds)
{
	enter(s, SUBSCRIPTION_WAITING);
	ev_timer_stop(loop_of(s), &s->timer);
	ev_timer_set(&s->timer, seconds, 0);
	alarm_start(s->cluster->context, &s->timer);
}

/* For whoever asks what is the matter; `why` is one line. */
static void note(struct subscription *s, const char *sqlstate, const char *doing, const char *why)
{
	char name[256] = "";
	if (s->server)
		snprintf(name, sizeof name, " %s: ", s->server->endpoint->name);
	snprintf(s->message, sizeof s->message, "%s%s%s", s->server ? doing : "", name, why);
	snprintf(s->sqlstate, sizeof s->sqlstate, "%s", *sqlstate ? sqlstate : "57P03");
}

static void fail(struct subscription *s, const char *sqlstate, const char *doing, const char *why)
{
	const struct backoff_config *config = &s->cluster->health.backoff;
	note(s, sqlstate, doing, why);
	hang_up(s);
	s->failures++;
	if (backoff_spent(config, s->failures))
		enter(s, SUBSCRIPTION_RESTING);
	else
		wait_for(s, backoff_delay(config, s->failures,
		                          random_unit(&s->cluster->context->random)));
	s->told(s);
}

/* The connection has ended: the next is made at once, unless that has been of no use before. */
static void lose(struct subscription *s, const char *why)
{
	struct endpoint *e = s->server->endpoint;
	double now = clock_now();
	if (now - s->lost < s->cluster->health.backoff.initial) {
		fail(s, "08006", "the connection was lost to", why);
	} else {
		s->lost = now;
		note(s, "08006", "the connection was lost to", why);
		hang_up(s);
		wait_for(s, 0);
		s->told(s);
	}
	endpoint_lost(e);
}

static void take_notes(struct subscription *s)
{
	unsigned before = s->count;
	keep_all(s);
	if (s->count >= SUBSCRIPTION_NOTES)
		ev_io_stop(loop_of(s), &s->server->reader);
	if (s->count > before)
		s->told(s);
}

static void on_event(struct server *server, int events)
{
	struct subscription *s = server->holder;
	(void)events;
	/* Twice: a farewell may be there, and behind it the end. */
	for (int i = 0; i < 2; i++)
		if (!PQconsumeInput(server->conn)) {
			server_note_error(server);
			lose(s, server->error);
			return;
		}
	take_notes(s);
}

static void listening(struct subscription *s)
{
	enter(s, SUBSCRIPTION_LISTENING);
	s->applied = s->asked;
	s->failures = 0;
	server_hold(s->server, on_event, s);
	if (s->fresh && s->heard)
		keep(s, NULL);
	s->fresh = false;
	s->heard = true;
	take_notes(s);
	s->told(s);
}

static void on_asked(struct exec *exec, enum status status, PGresult *result)
{
	struct subscription *s = LIST_ENTRY(exec, struct subscription, exec);
	char why[256] = "", sqlstate[6] = "";
	bool fine = status == ST_OK && PQresultStatus(result) != PGRES_FATAL_ERROR;
	if (result && !fine) {
		const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
		snprintf(sqlstate, sizeof sqlstate, "%s", code ? code : "");
		snprintf(why, sizeof why, "%s", message ? message : "");
	}
	PQclear(result);
	if (!fine) {
		/* It may be no primary any more. */
		endpoint_check(s->server->endpoint);
		fail(s, sqlstate, "listening at", *why ? why : s->server->error);
	} else if (s->asked != s->wanted) {
		ask(s);
	} else {
		listening(s);
	}
}

static void ask(struct subscription *s)
{
	const struct exec_query query = {
	        .sql = s->sql, .count = -1, .timeout = s->cluster->pool.connect_timeout};
	s->asked = s->wanted;
	if (exec_start(&s->exec, s->server, &query, on_asked) != ST_OK)
		lose(s, s->server->error);
}

static void on_opened(struct server *server, enum status status, void *arg)
{
	struct subscription *s = arg;
	if (status == ST_OK) {
		enter(s, SUBSCRIPTION_ASKING);
		s->fresh = true;
		ask(s);
		return;
	}
	struct endpoint *e = server->endpoint;
	char sqlstate[sizeof server->sqlstate], why[sizeof server->error];
	memcpy(sqlstate, server->sqlstate, sizeof sqlstate);
	memcpy(why, server->error, sizeof why);
	fail(s, sqlstate, "connecting to", why);
	endpoint_unreachable(e, sqlstate, why);
}

static void attempt(struct subscription *s)
{
	struct cluster *c = s->cluster;
	struct endpoint *e = cluster_primary(c);
	ev_timer_stop(loop_of(s), &s->timer);
	s->tried = e ? e->serial : NOBODY;
	if (!e) {
		const char *lack = cluster_lack(c);
		fail(s, "57P03", "", lack ? lack : "there is no primary");
		return;
	}
	enter(s, SUBSCRIPTION_CONNECTING);
	s->server =
	        server_open_own(e, NULL, NULL, keepalives, c->pool.connect_timeout, on_opened, s);
	if (!s->server)
		fail(s, "53200", "", "out of memory");
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	attempt(LIST_ENTRY(timer, struct subscription, timer));
}

/* Why this connection is of no use any more; NULL: it is. */
static const char *obsolete(const struct subscription *s, const struct endpoint *primary)
{
	const struct endpoint *e = s->server->endpoint;
	if (primary && primary != e && !cluster_lack(s->cluster))
		return "the primary is another";
	if (e->absent)
		return "the endpoint has left the cluster";
	if (s->state > SUBSCRIPTION_CONNECTING && s->server->opened < e->went_down)
		return "the endpoint is down";
	return NULL;
}

/* Whether it is worth another attempt before its time. */
static bool improved(const struct subscription *s, const struct endpoint *primary)
{
	return primary && health_usable(&primary->health) && !cluster_lack(s->cluster) &&
	       (primary->serial != s->tried || primary->health.changed > s->since);
}

static void look(struct subscription *s)
{
	const struct endpoint *primary = cluster_primary(s->cluster);
	const char *why = s->server ? obsolete(s, primary) : NULL;
	if (why) {
		hang_up(s);
		s->failures = 0;
		attempt(s);
	} else if (s->state == SUBSCRIPTION_WAITING && improved(s, primary)) {
		attempt(s);
	}
}

static void on_turn(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	(void)loop;
	(void)events;
	look(LIST_ENTRY(watcher, struct subscription, prepare));
}

void subscription_init(struct subscription *s, struct cluster *cluster, struct list *all,
                       subscription_told_fn *told)
{
	s->cluster = cluster;
	s->told = told;
	s->tried = NOBODY;
	s->lost = -INFINITY;
	list_init(&s->notes);
	list_init(&s->link);
	list_push_back(all, &s->link);
	ev_timer_init(&s->timer, on_time, 0, 0);
	ev_prepare_init(&s->prepare, on_turn);
	ev_prepare_start(loop_of(s), &s->prepare);
}

void subscription_go_on(struct subscription *s)
{
	if (!s->cluster || s->state != SUBSCRIPTION_RESTING)
		return;
	s->failures = 0;
	attempt(s);
}

bool subscription_ask(struct subscription *s, const char *sql)
{
	char *copy = strdup(sql);
	if (!copy)
		return false;
	free(s->sql);
	s->sql = copy;
	s->wanted++;
	if (s->state == SUBSCRIPTION_LISTENING) {
		enter(s, SUBSCRIPTION_ASKING);
		ask(s);
	} else {
		subscription_go_on(s);
	}
	return true;
}

bool subscription_current(const struct subscription *s)
{
	return s->state == SUBSCRIPTION_LISTENING && s->applied == s->wanted;
}

struct note *subscription_take(struct subscription *s)
{
	if (list_empty(&s->notes))
		return NULL;
	struct note *n = LIST_ENTRY(s->notes.next, struct note, link);
	list_remove(&n->link);
	s->count--;
	if (s->count < SUBSCRIPTION_NOTES && s->state == SUBSCRIPTION_LISTENING)
		ev_io_start(loop_of(s), &s->server->reader);
	return n;
}

static void drop_notes(struct subscription *s)
{
	LIST_EACH (&s->notes, link) {
		struct note *n = LIST_ENTRY(link, struct note, link);
		PQfreemem(n->notify);
		free(n);
	}
	list_init(&s->notes);
	s->count = 0;
}

void subscription_close(struct subscription *s)
{
	if (!s->cluster)
		return;
	hang_up(s);
	ev_timer_stop(loop_of(s), &s->timer);
	ev_prepare_stop(loop_of(s), &s->prepare);
	list_remove(&s->link);
	s->state = SUBSCRIPTION_RESTING;
	drop_notes(s);
	free(s->sql);
	s->sql = NULL;
	s->cluster = NULL;
	s->told(s);
}

void subscriptions_close(struct list *all)
{
	while (!list_empty(all))
		subscription_close(LIST_ENTRY(all->next, struct subscription, link));
}
