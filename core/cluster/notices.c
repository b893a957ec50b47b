/* notices.c - see notices.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/notices.h"

#include "cluster/cluster.h"
#include "cluster/server.h"

#include <stdlib.h>
#include <string.h>

/* PG_DIAG_SEVERITY is in the language of the server. */
static const int fields[] = {
        PG_DIAG_SEVERITY_NONLOCALIZED, PG_DIAG_SQLSTATE,        PG_DIAG_MESSAGE_PRIMARY,
        PG_DIAG_MESSAGE_DETAIL,        PG_DIAG_MESSAGE_HINT,    PG_DIAG_STATEMENT_POSITION,
        PG_DIAG_INTERNAL_POSITION,     PG_DIAG_INTERNAL_QUERY,  PG_DIAG_CONTEXT,
        PG_DIAG_SCHEMA_NAME,           PG_DIAG_TABLE_NAME,      PG_DIAG_COLUMN_NAME,
        PG_DIAG_DATATYPE_NAME,         PG_DIAG_CONSTRAINT_NAME, PG_DIAG_SOURCE_FILE,
        PG_DIAG_SOURCE_LINE,           PG_DIAG_SOURCE_FUNCTION};

#define FIELDS (sizeof fields / sizeof *fields)

struct notice {
	struct list link; /* in its cluster's `kept` */
	size_t size;
	const char *endpoint;
	const char *texts[FIELDS]; /* behind this; NULL: there is none */
	char bytes[];
};

void notices_listen(struct cluster *c, notices_waiting_fn *fn, void *arg)
{
	c->notices = (struct notices){.fn = fn, .arg = arg};
	list_init(&c->notices.kept);
}

void notices_stop(struct cluster *c)
{
	if (!c->notices.fn)
		return;
	for (struct notice *n = notices_take(c); n; n = notices_take(c))
		free(n);
	c->notices = (struct notices){0};
}

/* Of a text that is to be cut, no part of a character in UTF-8. */
static size_t length_of(const char *text)
{
	size_t size = strnlen(text, NOTICE_FIELD + 1);
	if (size <= NOTICE_FIELD)
		return size;
	size = NOTICE_FIELD;
	for (int i = 0; i < 3 && ((unsigned char)text[size] & 0xc0) == 0x80; i++)
		size--;
	return size;
}

static size_t size_of(const char *endpoint, const PGresult *r)
{
	size_t size = strlen(endpoint) + 1;
	for (size_t i = 0; i < FIELDS; i++) {
		const char *text = PQresultErrorField(r, fields[i]);
		size += text ? length_of(text) + 1 : 0;
	}
	return size;
}

static const char *copy_to(char **at, const char *text)
{
	char *copy = *at;
	size_t size = text ? length_of(text) : 0;
	if (!text)
		return NULL;
	memcpy(copy, text, size);
	copy[size] = '\0';
	*at += size + 1;
	return copy;
}

static struct notice *notice_new(const char *endpoint, const PGresult *r, size_t size)
{
	struct notice *n = calloc(1, sizeof *n + size);
	if (!n)
		return NULL;
	char *at = n->bytes;
	list_init(&n->link);
	n->size = size;
	n->endpoint = copy_to(&at, endpoint);
	for (size_t i = 0; i < FIELDS; i++)
		n->texts[i] = copy_to(&at, PQresultErrorField(r, fields[i]));
	return n;
}

static bool keep(struct notices *all, const char *endpoint, const PGresult *r)
{
	size_t size = size_of(endpoint, r);
	if (all->count >= NOTICES_KEPT || size > NOTICES_BYTES - all->bytes)
		return false;
	struct notice *n = notice_new(endpoint, r, size);
	if (!n)
		return false;
	list_push_back(&all->kept, &n->link);
	all->bytes += size;
	return ++all->count;
}

void notices_receive(void *arg, const PGresult *r)
{
	const struct server *s = arg;
	struct notices *all = &s->endpoint->cluster->notices;
	if (!all->fn || !s->pool)
		return;
	if (!keep(all, s->endpoint->name, r))
		all->dropped++;
	else if (all->count == 1)
		all->fn(all->arg);
}

struct notice *notices_take(struct cluster *c)
{
	struct list *link = c->notices.count ? list_pop(&c->notices.kept) : NULL;
	if (!link)
		return NULL;
	struct notice *n = LIST_ENTRY(link, struct notice, link);
	c->notices.count--;
	c->notices.bytes -= n->size;
	return n;
}

const char *notice_field(const struct notice *n, int field)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (fields[i] == field)
			return n->texts[i];
	return NULL;
}

const char *notice_endpoint(const struct notice *n)
{
	return n->endpoint;
}
