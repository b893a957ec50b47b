/* patroni.c - see patroni.h.
 *
 * A round asks one URL after the other, beginning with the one that answered last, until one
 * answers as it should: those of the script, then those that the members have told of themselves.
 */
/* SPDX-License-Identifier: MIT */
#include "cluster/patroni.h"

#include "cluster/alarms.h"
#include "cluster/cluster.h"
#include "cluster/conninfo.h"
#include "cluster/fetch.h"
#include "cluster/membership.h"
#include "cluster/patroni_members.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct known {
	char *name, *region;
	double weight;
};

struct patroni {
	struct cluster *cluster;
	struct fetch *fetch;
	ev_timer timer;
	char **urls;
	size_t url_count;
	char *connect;
	double interval, timeout;
	struct known *known;
	size_t known_count;
	char place[300];
	struct patroni_members members; /* as last heard */
	char *body;                     /* that said so; NULL: nothing yet */
	size_t body_size;
	size_t best, tried; /* the URL that answered last; how many this round has asked */
	bool troubled;      /* the log has been told that nobody answers */
	char asked[300];    /* whom: host and port */
	char trouble[400];
	char refused[400]; /* a member that could not join: told once */
};

static const struct log *log_of(const struct patroni *p)
{
	return &p->cluster->context->log;
}

static size_t candidates(const struct patroni *p)
{
	return p->url_count + p->members.count;
}

static void cut(char *text, const char *end)
{
	size_t size = strlen(text), tail = strlen(end);
	if (size >= tail && strcmp(text + size - tail, end) == 0)
		text[size - tail] = '\0';
}

/* "http://db1:8008/patroni", as members call it, and "http://db1:8008/" become
 * "http://db1:8008/cluster". False: there is none of that number. */
static bool url_of(const struct patroni *p, size_t i, char *url, size_t size)
{
	const char *base =
	        i < p->url_count ? p->urls[i] : p->members.list[i - p->url_count].api_url;
	if (!base || strlen(base) + sizeof "/cluster" > size)
		return false;
	snprintf(url, size, "%s", base);
	cut(url, "/");
	cut(url, "/patroni");
	cut(url, "/cluster");
	strncat(url, "/cluster", size - strlen(url) - 1);
	return true;
}

static void ask_later(struct patroni *p)
{
	const struct context *context = p->cluster->context;
	ev_timer_stop(context->loop, &p->timer);
	ev_timer_set(&p->timer, p->interval, 0);
	alarm_start(context, &p->timer);
}

static void give_up(struct patroni *p)
{
	if (!p->troubled)
		log_warn(log_of(p),
		         p->members.count
		                 ? "Patroni does not answer: its members stay as they were"
		                 : "Patroni does not answer: no endpoint is known, and all "
		                   "queries wait",
		         LOG_T("reason", p->trouble), LOG_T("cluster", p->cluster->name),
		         LOG_N("members", p->members.count));
	p->troubled = true;
	ask_later(p);
}

static void ask_next(struct patroni *p)
{
	char url[2048];
	while (p->tried < candidates(p)) {
		size_t i = (p->best + p->tried++) % candidates(p);
		if (!url_of(p, i, url, sizeof url) || !fetch_place(url, p->asked, sizeof p->asked))
			continue;
		fetch_start(p->fetch, url, p->timeout);
		return;
	}
	give_up(p);
}

static void fail(struct patroni *p, const char *reason)
{
	snprintf(p->trouble, sizeof p->trouble, "%.150s: %.200s", p->asked, reason);
	ask_next(p);
}

static const struct known *find_known(const struct patroni *p, const char *name)
{
	for (size_t i = 0; i < p->known_count; i++)
		if (strcmp(p->known[i].name, name) == 0)
			return &p->known[i];
	return NULL;
}

static bool has_primary(const struct cluster *c)
{
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (c->endpoints[i]->role == ROLE_PRIMARY)
			return true;
	return false;
}

/* Its role, as long as no probe has told: the leader's place may be taken still. */
static struct endpoint_config config_of(const struct patroni *p, const struct patroni_member *m)
{
	const struct known *known = find_known(p, m->name);
	double weight = known ? known->weight : 1;
	return (struct endpoint_config){
	        .url = p->connect,
	        .host = m->host,
	        .port = m->port,
	        .name = m->name,
	        .region = known ? known->region : NULL,
	        .weight = m->unbalanced ? 0 : weight,
	        .role = m->leader && !has_primary(p->cluster) ? ROLE_PRIMARY : ROLE_REPLICA};
}

static struct endpoint *present(const struct patroni *p, const struct endpoint_config *config)
{
	struct endpoint *e = cluster_endpoint(p->cluster, config->name);
	return e && endpoint_is(e, config) ? e : NULL;
}

/* Those who have gone, or are somewhere else now. */
static bool remove_others(const struct patroni *p, const struct patroni_members *members)
{
	bool some = false;
	for (size_t i = 0; i < p->cluster->endpoint_count; i++) {
		struct endpoint *e = p->cluster->endpoints[i];
		const struct patroni_member *m = patroni_members_find(members, e->name);
		if (e->absent)
			continue;
		if (m) {
			const struct endpoint_config config = config_of(p, m);
			if (endpoint_is(e, &config))
				continue;
		}
		endpoint_leave(e);
		some = true;
	}
	return some;
}

static void refuse(struct patroni *p, const struct patroni_member *m, const char *reason)
{
	char refused[sizeof p->refused];
	snprintf(refused, sizeof refused, "%.100s: %.250s", m->name, reason);
	if (strcmp(refused, p->refused) == 0)
		return;
	memcpy(p->refused, refused, sizeof refused);
	log_error(log_of(p), "a member of Patroni's cannot be an endpoint",
	          LOG_T("reason", p->refused));
}

/* How many have joined. */
static size_t add_missing(struct patroni *p, const struct patroni_members *members)
{
	char wrong[256];
	size_t joined = 0;
	for (size_t i = 0; i < members->count; i++) {
		const struct patroni_member *m = &members->list[i];
		const struct endpoint_config config = config_of(p, m);
		struct endpoint *e = present(p, &config);
		if (e) {
			e->weight = config.weight;
			endpoint_presume(e, m->leader ? ROLE_PRIMARY : ROLE_REPLICA);
		} else if (cluster_join(p->cluster, &config, wrong, sizeof wrong)) {
			joined++;
			log_info(log_of(p), "endpoint added", LOG_T("endpoint", m->name),
			         LOG_T("host", m->host), LOG_T("port", m->port),
			         LOG_T("region", config.region), LOG_S("weight", config.weight));
		} else {
			refuse(p, m, wrong);
		}
	}
	return joined;
}

static void hurry(const struct cluster *c)
{
	for (size_t i = 0; i < c->endpoint_count; i++)
		if (!c->endpoints[i]->absent)
			endpoint_retry(c->endpoints[i]);
}

/* The members are taken over. */
static void follow(struct patroni *p, struct patroni_members *members)
{
	bool changed = patroni_members_changed(&p->members, members);
	bool moved = remove_others(p, members);
	moved = add_missing(p, members) > 0 || moved;
	patroni_members_free(&p->members);
	p->members = *members;
	if (moved || changed)
		membership_settle(p->cluster);
	if (changed)
		hurry(p->cluster);
}

static bool keep_body(struct patroni *p, const char *body, size_t size)
{
	char *kept = malloc(size + 1);
	if (!kept)
		return false;
	memcpy(kept, body, size);
	free(p->body);
	p->body = kept;
	p->body_size = size;
	return true;
}

static void on_answer(struct patroni *p, const char *body, size_t size)
{
	char wrong[200];
	struct patroni_members members;
	size_t answered = (p->best + p->tried - 1) % candidates(p);
	if (!patroni_members_parse(&members, body, size, wrong, sizeof wrong)) {
		fail(p, wrong);
		return;
	}
	bool news = p->troubled || !p->body;
	if (!keep_body(p, body, size)) {
		patroni_members_free(&members);
		fail(p, "out of memory");
		return;
	}
	if (news)
		log_info(log_of(p), "Patroni answers", LOG_T("patroni", p->asked),
		         LOG_T("cluster", p->cluster->name), LOG_N("members", members.count));
	p->troubled = false;
	p->trouble[0] = '\0';
	p->best = answered;
	ask_later(p);
	follow(p, &members);
}

static void on_fetched(const char *body, size_t size, const char *reason, void *arg)
{
	struct patroni *p = arg;
	if (body)
		on_answer(p, body, size);
	else
		fail(p, reason);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct patroni *p = timer->data;
	p->tried = 0;
	ask_next(p);
}

static bool copy(char **to, const char *text)
{
	*to = text ? strdup(text) : NULL;
	return !text || *to;
}

static bool copy_config(struct patroni *p, const struct patroni_config *config)
{
	p->urls = calloc(config->url_count + 1, sizeof *p->urls);
	p->known = calloc(config->member_count + 1, sizeof *p->known);
	if (!p->urls || !p->known || !copy(&p->connect, config->connect))
		return false;
	for (size_t i = 0; i < config->url_count; i++, p->url_count++)
		if (!copy(&p->urls[i], config->urls[i]))
			return false;
	for (size_t i = 0; i < config->member_count; i++, p->known_count++) {
		p->known[i].weight = config->members[i].weight;
		if (!copy(&p->known[i].name, config->members[i].name) ||
		    !copy(&p->known[i].region, config->members[i].region))
			return false;
	}
	p->fetch = fetch_new(p->cluster->context, config->ca, on_fetched, p);
	return p->fetch != NULL;
}

static bool check(const struct patroni_config *config, char *error, size_t size)
{
	char wrong[300];
	for (size_t i = 0; i < config->url_count; i++)
		if (!fetch_place(config->urls[i], wrong, sizeof wrong)) {
			snprintf(error, size,
			         "patroni.url[%zu] is no URL of Patroni's REST API, such as "
			         "\"http://db1:8008\": %s",
			         i + 1, wrong);
			return false;
		}
	struct conninfo *info =
	        conninfo_parse_at(config->connect, "localhost", "5432", wrong, sizeof wrong);
	if (!info)
		snprintf(error, size, "patroni.connect: %s", wrong);
	conninfo_free(info);
	return info != NULL;
}

struct patroni *patroni_new(struct cluster *cluster, const struct patroni_config *config,
                            char *error, size_t error_size)
{
	if (!check(config, error, error_size))
		return NULL;
	struct patroni *p = calloc(1, sizeof *p);
	if (p) {
		p->cluster = cluster;
		p->interval = config->interval;
		p->timeout = config->timeout;
		ev_init(&p->timer, on_time);
		p->timer.data = p;
		snprintf(p->trouble, sizeof p->trouble, "it has not been asked yet");
		fetch_place(config->urls[0], p->place, sizeof p->place);
		if (copy_config(p, config))
			return p;
	}
	snprintf(error, error_size, "out of memory");
	patroni_free(p);
	return NULL;
}

void patroni_free(struct patroni *p)
{
	if (!p)
		return;
	patroni_stop(p);
	fetch_free(p->fetch);
	patroni_members_free(&p->members);
	for (size_t i = 0; p->urls && i <= p->url_count; i++)
		free(p->urls[i]);
	for (size_t i = 0; p->known && i <= p->known_count; i++) {
		free(p->known[i].name);
		free(p->known[i].region);
	}
	free(p->urls);
	free(p->known);
	free(p->connect);
	free(p->body);
	free(p);
}

void patroni_start(struct patroni *p)
{
	if (!p)
		return;
	p->tried = 0;
	ask_next(p);
}

void patroni_stop(struct patroni *p)
{
	if (!p)
		return;
	ev_timer_stop(p->cluster->context->loop, &p->timer);
	if (p->fetch)
		fetch_cancel(p->fetch);
}

static bool share_url(const struct patroni *a, const struct patroni *b)
{
	for (size_t i = 0; i < a->url_count; i++)
		for (size_t k = 0; k < b->url_count; k++)
			if (strcmp(a->urls[i], b->urls[k]) == 0)
				return true;
	return false;
}

enum status patroni_inherit(struct patroni *to, const struct patroni *from)
{
	char wrong[200];
	if (!to || !from || !from->body || to->body || !share_url(to, from))
		return ST_OK;
	if (!keep_body(to, from->body, from->body_size) ||
	    !patroni_members_parse(&to->members, to->body, to->body_size, wrong, sizeof wrong))
		return ST_ENOMEM;
	snprintf(to->trouble, sizeof to->trouble, "%s", from->trouble);
	to->troubled = from->troubled;
	add_missing(to, &to->members);
	routes_name_endpoints(to->cluster->routes);
	return ST_OK;
}

bool patroni_has_region(const struct patroni *p, const char *region)
{
	for (size_t i = 0; p && i < p->known_count; i++)
		if (p->known[i].region && strcmp(p->known[i].region, region) == 0)
			return true;
	return false;
}

const char *patroni_trouble(const struct patroni *p)
{
	return p && *p->trouble ? p->trouble : NULL;
}

const char *patroni_place(const struct patroni *p)
{
	return p ? p->place : NULL;
}
