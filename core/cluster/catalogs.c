/* catalogs.c - see catalogs.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/catalogs.h"

#include "base/clock.h"
#include "base/random.h"
#include "cluster/alarms.h"
#include "cluster/catalog_fetch.h"
#include "cluster/cluster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define AT_ONCE   4   /* looks under way in one cluster */
#define SHORTEST  0.5 /* s between two looks at one database */
#define SHARE     10  /* a look that took long is followed by a rest of so many times that */
#define LOG_EVERY 60  /* s between lines about one database's failures */

static const struct backoff_config retry = {.initial = 1, .factor = 2, .max = 60, .jitter = 0.2};

struct source {
	struct catalog_source public; /* first, so that one is the other */
	UT_hash_handle hh;
	struct catalogs *catalogs; /* NULL: the cluster is gone */
	char *user;
	bool named; /* false: `database` stands for the URL's */
	unsigned refs;
	bool wanted, stale, failing, taught, asked;
	struct list queued;  /* in catalogs->queue */
	struct catalog *own; /* a snapshot; NULL: none yet */
	char digest[CATALOG_DIGEST];
	struct catalog_fetch fetch;
	ev_timer timer; /* until the next look */
	double began, rests_until, logged;
	unsigned failures; /* in a row */
	char database[];
};

struct catalogs {
	struct cluster *cluster;
	double age;
	struct catalog_overrides functions;
	struct catalog *base;   /* what operators say alone; NULL: nothing */
	struct source *sources; /* uthash, by database */
	struct list queue;      /* whose time has come, while others are looked at */
	unsigned busy;
	struct catalogs_stats stats;
};

static void begin(struct source *s);

static struct ev_loop *loop_of(const struct source *s)
{
	return s->catalogs->cluster->context->loop;
}

static const char *name_of(const struct source *s)
{
	return s->named ? s->database : "";
}

static void look_in(struct source *s, double seconds)
{
	ev_timer_stop(loop_of(s), &s->timer);
	ev_timer_set(&s->timer, fmax(0, seconds), 0);
	alarm_start(s->catalogs->cluster->context, &s->timer);
}

static void show(struct source *s, struct catalog *own)
{
	struct catalog *before = s->own;
	s->own = own;
	s->public.catalog = own ? own : s->catalogs->base;
	s->public.asks = s->asked || catalog_asks(own);
	s->catalogs->stats.known += (own != NULL) - (before != NULL);
	catalog_free(before);
}

static void source_free(struct source *s)
{
	catalog_free(s->own);
	free(s->user);
	free(s);
}

static void forget(struct source *s)
{
	HASH_DEL(s->catalogs->sources, s); /* NOLINT(clang-analyzer-unix.Malloc): uthash */
	ev_timer_stop(loop_of(s), &s->timer);
	show(s, NULL);
	source_free(s);
}

static void begin_queued(struct catalogs *c)
{
	while (c->busy < AT_ONCE && !list_empty(&c->queue)) {
		struct source *s = LIST_ENTRY(c->queue.next, struct source, queued);
		list_remove(&s->queued);
		begin(s);
	}
}

/* A table made anew every second shall not cost a look as often, where looks take long. */
static void rest(struct source *s, double now)
{
	s->rests_until = fmax(s->began + SHORTEST, now + SHARE * (now - s->began));
	look_in(s, s->stale ? s->rests_until - now : fmax(s->catalogs->age, s->rests_until - now));
}

static void log_failure(struct source *s, double now, double wait, const char *reason)
{
	if (s->failing && now - s->logged < LOG_EVERY)
		return;
	s->failing = true;
	s->logged = now;
	log_warn(&s->catalogs->cluster->context->log,
	         s->own ? "the catalog could not be looked at: what is known of it stays"
	                : "the catalog could not be read: functions that are not PostgreSQL's own "
	                  "are taken to write",
	         LOG_T("cluster", s->catalogs->cluster->name), LOG_T("database", name_of(s)),
	         LOG_T("error", reason), LOG_S("again_in", wait));
}

static void take_failure(struct source *s, double now, const char *sqlstate, const char *reason)
{
	struct catalogs *c = s->catalogs;
	double chance = random_unit(&c->cluster->context->random);
	double wait = backoff_delay(&retry, ++s->failures, chance);
	c->stats.failed++;
	if (strcmp(sqlstate, "3D000") == 0) { /* it was dropped */
		show(s, NULL);
		*s->digest = '\0';
	}
	log_failure(s, now, wait, reason);
	look_in(s, wait);
}

static void log_success(struct source *s, double now)
{
	const struct log *log = &s->catalogs->cluster->context->log;
	struct catalog_size size = catalog_size(s->own);
	log_line(log, s->failing || !*s->digest ? LOG_INFO : LOG_DEBUG, "catalog read",
	         LOG_T("cluster", s->catalogs->cluster->name), LOG_T("database", name_of(s)),
	         LOG_N("functions", size.functions), LOG_N("others", size.others),
	         LOG_N("bytes", size.bytes), LOG_S("seconds", now - s->began));
}

static void on_fetched(struct catalog_fetch *fetch, enum status status, struct catalog *catalog,
                       const char *sqlstate, const char *reason)
{
	struct source *s = LIST_ENTRY(fetch, struct source, fetch);
	struct catalogs *c = s->catalogs;
	double now = clock_now();
	c->busy--;
	if (status != ST_OK) {
		take_failure(s, now, sqlstate, reason);
	} else {
		c->stats.read += catalog != NULL;
		if (catalog) {
			catalog_follows(catalog, s->own, s->taught);
			s->taught = false;
			show(s, catalog);
			log_success(s, now);
			memcpy(s->digest, fetch->digest, sizeof s->digest);
		}
		s->failures = 0;
		s->failing = false;
		s->public.behind = s->stale;
		rest(s, now);
	}
	begin_queued(c);
}

static struct endpoint *endpoint_for(const struct cluster *c)
{
	struct endpoint *primary = cluster_primary(c);
	if (primary && health_usable(&primary->health))
		return primary;
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (health_usable(&c->endpoints[i]->health))
			return c->endpoints[i];
	return NULL;
}

static void begin(struct source *s)
{
	struct catalogs *c = s->catalogs;
	struct endpoint *endpoint = endpoint_for(c->cluster);
	const struct catalog_fetch_request request = {
	        .endpoint = endpoint,
	        .user = s->user,
	        .database = s->named ? s->database : NULL,
	        .connect_timeout = c->cluster->pool.connect_timeout,
	        .known = s->digest,
	        .overrides = &c->functions,
	};
	s->began = clock_now();
	s->stale = false;
	c->stats.looked++;
	if (!endpoint)
		take_failure(s, s->began, "", "no endpoint is up");
	else if (catalog_fetch_start(&s->fetch, &request, on_fetched) == ST_OK)
		c->busy++;
	else
		take_failure(s, s->began, "", "out of memory");
}

/* Those that nobody has any more go now. */
static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct source *s = LIST_ENTRY(timer, struct source, timer);
	if (s->refs == 0) {
		forget(s);
		return;
	}
	list_push_back(&s->catalogs->queue, &s->queued);
	begin_queued(s->catalogs);
}

static struct source *make(struct catalogs *c, const char *database)
{
	const char *key = database ? database : "";
	struct source *s = calloc(1, sizeof *s + strlen(key) + 1);
	if (!s)
		return NULL;
	strcpy(s->database, key); /* NOLINT: the room was made above */
	s->named = database != NULL;
	s->catalogs = c;
	s->public.catalog = c->base;
	list_init(&s->queued);
	ev_init(&s->timer, on_time);
	HASH_ADD_STR(c->sources, database, s); /* NOLINT(clang-analyzer-unix.Malloc): uthash */
	return s;
}

struct catalog_source *catalogs_join(struct catalogs *c, const char *user, const char *database)
{
	struct source *s = NULL;
	HASH_FIND_STR(c->sources, database ? database : "", s);
	if (!s)
		s = make(c, database);
	if (!s)
		return NULL;
	s->refs++;
	/* Whoever came last is known to be let in. A look under way has the other one's name. */
	if (user && !s->fetch.context && (!s->user || strcmp(s->user, user) != 0)) {
		char *copy = strdup(user);
		if (copy)
			free(s->user);
		s->user = copy ? copy : s->user;
	}
	return &s->public;
}

void catalogs_leave(struct catalog_source *source)
{
	struct source *s = (struct source *)source;
	if (!s || --s->refs > 0)
		return;
	if (!s->catalogs)
		source_free(s);
	else if (!s->wanted)
		forget(s);
}

static bool at_rest(const struct source *s)
{
	return !s->fetch.context && list_empty(&s->queued);
}

void catalogs_want(struct catalog_source *source)
{
	struct source *s = (struct source *)source;
	if (!s || s->wanted || !s->catalogs || s->catalogs->age <= 0)
		return;
	s->wanted = s->public.behind = true;
	look_in(s, 0);
}

void catalogs_stale(struct catalog_source *source)
{
	struct source *s = (struct source *)source;
	if (!s || !s->wanted || s->stale || !s->catalogs)
		return;
	s->stale = s->public.behind = true;
	if (at_rest(s) && !s->failures)
		look_in(s, s->rests_until - clock_now());
}

void catalogs_asks(struct catalog_source *source)
{
	struct source *s = (struct source *)source;
	if (s)
		s->asked = s->public.asks = true;
}

void catalogs_taught(struct catalog_source *source)
{
	struct source *s = (struct source *)source;
	if (s)
		s->taught = true;
}

const struct catalog *catalogs_said(const struct catalogs *c)
{
	return c->base;
}

struct catalogs_stats catalogs_stats(const struct catalogs *c)
{
	return c->stats;
}

static const char *const *copy_names(const char *const *names, size_t count)
{
	char **copies = calloc(count + 1, sizeof *copies);
	for (size_t i = 0; copies && i < count; i++) {
		copies[i] = strdup(names[i]);
		if (copies[i])
			continue;
		while (i > 0)
			free(copies[--i]);
		free(copies);
		return NULL;
	}
	return (const char *const *)copies;
}

static void free_names(const char *const *names, size_t count)
{
	for (size_t i = 0; names && i < count; i++)
		free((char *)(uintptr_t)names[i]);
	free((void *)(uintptr_t)names);
}

static bool copy_functions(struct catalog_overrides *to, const struct catalog_overrides *from)
{
	to->reads = copy_names(from->reads, from->read_count);
	to->writes = copy_names(from->writes, from->write_count);
	to->read_count = to->reads ? from->read_count : 0;
	to->write_count = to->writes ? from->write_count : 0;
	return to->reads && to->writes;
}

struct catalogs *catalogs_new(struct cluster *cluster, const struct catalogs_config *config)
{
	struct catalogs *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->cluster = cluster;
	c->age = config->age;
	list_init(&c->queue);
	bool there = copy_functions(&c->functions, &config->functions);
	if (there && c->functions.read_count + c->functions.write_count) {
		c->base = catalog_of_overrides(&c->functions);
		there = c->base != NULL;
	}
	if (there)
		return c;
	catalogs_free(c);
	return NULL;
}

/* Whoever still holds it keeps it as it is. */
static void orphan(struct source *s)
{
	catalog_fetch_cancel(&s->fetch);
	list_remove(&s->queued);
	HASH_DEL(s->catalogs->sources, s); /* NOLINT(clang-analyzer-unix.Malloc): uthash */
	ev_timer_stop(loop_of(s), &s->timer);
	if (!s->own)
		s->public.catalog = NULL;
	s->public.behind = false;
	s->catalogs = NULL;
	if (s->refs == 0)
		source_free(s);
}

void catalogs_free(struct catalogs *c)
{
	struct source *each, *next;
	if (!c)
		return;
	HASH_ITER (hh, c->sources, each, next)
		orphan(each);
	free_names(c->functions.reads, c->functions.read_count);
	free_names(c->functions.writes, c->functions.write_count);
	catalog_free(c->base);
	free(c);
}
