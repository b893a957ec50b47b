/* session.c - see session.h. */
/* SPDX-License-Identifier: MIT */
#include "router/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "moongate_"

static void session_free(void *session)
{
	struct session *s = session;
	session_forget_statements(s);
	settings_unref(s->settings);
	buffer_free(&s->answer);
	free(s);
}

struct session *session_of(struct server *server, struct settings_table *settings)
{
	if (server->session)
		return server->session;
	struct session *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	list_init(&s->recent);
	list_init(&s->washing);
	s->server = server;
	s->settings = settings_empty(settings);
	if (!s->settings) {
		free(s);
		return NULL;
	}
	server->session = s;
	server->session_free = session_free;
	return s;
}

void session_set_settings(struct session *s, struct settings *settings)
{
	settings_unref(s->settings);
	s->settings = settings;
}

struct prepared *session_find(struct session *s, struct statement *statement)
{
	struct prepared *p = NULL;
	HASH_FIND_PTR(s->statements, &statement, p);
	if (p && s->recent.next != &p->link) {
		list_remove(&p->link);
		list_push_front(&s->recent, &p->link);
	}
	return p;
}

static struct prepared *add(struct session *s, struct statement *statement, unsigned number)
{
	struct prepared *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->statement = statement_ref(statement);
	p->number = number;
	snprintf(p->name, sizeof p->name, PREFIX "%u", number);
	HASH_ADD_PTR(s->statements, statement, p); /* NOLINT(clang-analyzer-unix.Malloc): uthash */
	list_push_front(&s->recent, &p->link);
	s->count++;
	return p;
}

struct prepared *session_add(struct session *s, struct statement *statement, uint64_t epoch)
{
	struct prepared *p = add(s, statement, ++s->last_number);
	if (p)
		p->epoch = epoch;
	return p;
}

enum status session_restore(struct session *s, struct statement *statement, unsigned number)
{
	return add(s, statement, number) ? ST_OK : ST_ENOMEM;
}

void session_remove(struct session *s, struct prepared *p)
{
	HASH_DEL(s->statements, p); /* NOLINT(clang-analyzer-unix.Malloc): uthash */
	list_remove(&p->link);
	s->count--;
	statement_unref(p->statement);
	free(p);
}

struct prepared *session_oldest(struct session *s)
{
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it does not see session_remove() unlink */
	return list_empty(&s->recent) ? NULL : LIST_ENTRY(s->recent.prev, struct prepared, link);
}

void session_distrust(struct session *s)
{
	s->stale = s->last_number;
	s->unnamed = NULL;
}

void session_forget_statements(struct session *s)
{
	while (!list_empty(&s->recent))
		session_remove(s, session_oldest(s));
	s->unnamed = NULL;
}

bool session_is_name(const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0;
}

const char *session_client_name(const struct session *s, unsigned number)
{
	LIST_EACH (&s->recent, link) {
		const struct prepared *p = LIST_ENTRY(link, struct prepared, link);
		if (p->number == number && *p->used_as)
			return p->used_as;
	}
	return NULL;
}
