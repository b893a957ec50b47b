/* prepared.c - see prepared.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/prepared.h"

#include "cluster/cluster.h"
#include "sql/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct prepared {
	UT_hash_handle hh;
	struct list link; /* in recent or doomed */
	uint64_t hash;    /* of text and types */
	char name[PREPARED_NAME];
	bool has_format;
	int format;
	int count;
	Oid *types; /* behind this, and then: */
	char *sql;
};

struct prepared_cache {
	struct prepared *known;
	struct list recent; /* the most recently used first */
	struct list doomed; /* first to be closed first */
	unsigned limit;     /* 0: none */
	uint64_t serial;
};

static void free_list(struct list *list)
{
	LIST_EACH (list, link)
		free(LIST_ENTRY(link, struct prepared, link));
	list_init(list);
}

static void forget_all(struct prepared_cache *c)
{
	HASH_CLEAR(hh, c->known);
	free_list(&c->recent);
	free_list(&c->doomed);
}

static void cache_free(void *session)
{
	forget_all(session);
	free(session);
}

struct prepared_cache *prepared_cache_of(struct server *server)
{
	if (server->session)
		return server->session;
	struct prepared_cache *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	list_init(&c->recent);
	list_init(&c->doomed);
	c->limit = server->endpoint->cluster->pool.prepared_statements;
	server->session = c;
	server->session_free = cache_free;
	return c;
}

uint64_t prepared_hash(const char *sql, size_t size)
{
	uint64_t hash = XXH3_64bits(sql, size);
	return hash ? hash : 1;
}

static size_t types_size(int count)
{
	return (size_t)count * sizeof(Oid);
}

static uint64_t hash_of(const struct exec_query *q)
{
	return q->count ? XXH3_64bits_withSeed(q->types, types_size(q->count), q->prepared)
	                : q->prepared;
}

static bool is_same(const struct prepared *p, const struct exec_query *q)
{
	return p->count == q->count && strcmp(p->sql, q->sql) == 0 &&
	       (q->count == 0 || memcmp(p->types, q->types, types_size(q->count)) == 0);
}

/* Of two with one hash only the first is ever known. */
static struct prepared *with_hash(struct prepared_cache *c, uint64_t hash)
{
	struct prepared *p = NULL;
	HASH_FIND(hh, c->known, &hash, sizeof hash, p);
	return p;
}

struct prepared *prepared_find(struct prepared_cache *c, const struct exec_query *q)
{
	struct prepared *p = with_hash(c, hash_of(q));
	if (!p || !is_same(p, q))
		return NULL;
	list_remove(&p->link);
	list_push_front(&c->recent, &p->link);
	return p;
}

static void doom(struct prepared_cache *c, struct prepared *p)
{
	HASH_DEL(c->known, p);
	list_remove(&p->link);
	list_push_back(&c->doomed, &p->link);
}

struct prepared *prepared_new(struct prepared_cache *c, const struct exec_query *q, bool in_block)
{
	bool full = c->limit && HASH_COUNT(c->known) >= c->limit;
	if ((full && in_block) || with_hash(c, hash_of(q)))
		return NULL;
	size_t size = strlen(q->sql) + 1;
	struct prepared *p = calloc(1, sizeof *p + types_size(q->count) + size);
	if (!p)
		return NULL;
	if (full)
		doom(c, LIST_ENTRY(c->recent.prev, struct prepared, link));
	list_init(&p->link);
	p->hash = hash_of(q);
	p->count = q->count;
	p->types = (Oid *)(void *)(p + 1);
	p->sql = (char *)(p->types + q->count);
	if (q->count)
		memcpy(p->types, q->types, types_size(q->count));
	memcpy(p->sql, q->sql, size);
	snprintf(p->name, sizeof p->name, "moongate:%" PRIu64, ++c->serial);
	return p;
}

const char *prepared_name(const struct prepared *p)
{
	return p->name;
}

int prepared_format(const struct prepared *p)
{
	return p->format;
}

bool prepared_has_format(const struct prepared *p)
{
	return p->has_format;
}

void prepared_set_format(struct prepared *p, int format)
{
	p->has_format = true;
	p->format = format;
}

void prepared_add(struct prepared_cache *c, struct prepared *p)
{
	HASH_ADD(hh, c->known, hash, sizeof p->hash, p);
	list_push_front(&c->recent, &p->link);
}

unsigned prepared_doomed(const struct prepared_cache *c)
{
	unsigned count = 0;
	LIST_EACH (&c->doomed, link)
		count++;
	return count;
}

void prepared_close_sql(const struct prepared_cache *c, unsigned i, char sql[PREPARED_NAME + 16])
{
	const struct list *link = c->doomed.next;
	while (i-- > 0)
		link = link->next;
	snprintf(sql, PREPARED_NAME + 16, "deallocate \"%s\"",
	         LIST_ENTRY(link, struct prepared, link)->name);
}

void prepared_closed(struct prepared_cache *c)
{
	struct prepared *p = LIST_ENTRY(c->doomed.next, struct prepared, link);
	list_remove(&p->link);
	free(p);
}

void prepared_drop(struct server *server, const struct exec_query *q, bool gone)
{
	struct prepared_cache *c = server->session;
	struct prepared *p = c ? prepared_find(c, q) : NULL;
	if (!p)
		return;
	doom(c, p);
	if (!gone)
		return;
	list_remove(&p->link);
	free(p);
}

void prepared_forget(struct server *server)
{
	if (server->session)
		forget_all(server->session);
}
