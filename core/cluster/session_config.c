/* session_config.c - see session_config.h.
 *
 * Few combinations of overrides are in use, so each is resolved when it is first asked for, and
 * kept: all clients that it holds for share one. */
/* SPDX-License-Identifier: MIT */
#include "cluster/session_config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct entry {
	UT_hash_handle hh;
	struct session_override what; /* its name is `name` */
	char name[];
};

struct combination {
	UT_hash_handle hh;
	struct pair {
		const struct entry *user, *database; /* NULL: no override */
	} of;
	struct session_config config;
};

struct session_configs {
	struct session_config otherwise;
	struct entry *users, *databases;  /* uthash, by name */
	struct combination *combinations; /* uthash, by pair */
};

const char *pool_mode_name(enum pool_mode mode)
{
	static const char *const names[] = {"transaction", "session", "statement"};
	return names[mode];
}

static bool add_entries(struct entry **table, const struct session_overrides *from)
{
	for (size_t i = 0; i < from->count; i++) {
		size_t size = strlen(from->list[i].name) + 1;
		struct entry *e = calloc(1, sizeof *e + size);
		if (!e)
			return false;
		e->what = from->list[i];
		memcpy(e->name, from->list[i].name, size);
		e->what.name = e->name;
		HASH_ADD_STR(*table, name, e); /* NOLINT(clang-analyzer-unix.Malloc): uthash */
	}
	return true;
}

static void free_entries(struct entry **table)
{
	struct entry *each, *next;
	HASH_ITER (hh, *table, each, next) {
		HASH_DEL(*table, each); /* NOLINT(clang-analyzer-unix.Malloc): uthash */
		free(each);
	}
}

struct session_configs *session_configs_new(const struct session_config *otherwise,
                                            const struct session_overrides *users,
                                            const struct session_overrides *databases)
{
	struct session_configs *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->otherwise = *otherwise;
	if (add_entries(&c->users, users) && add_entries(&c->databases, databases))
		return c;
	session_configs_free(c);
	return NULL;
}

void session_configs_free(struct session_configs *c)
{
	struct combination *each, *next;
	if (!c)
		return;
	HASH_ITER (hh, c->combinations, each, next) {
		HASH_DEL(c->combinations, each); /* NOLINT(clang-analyzer-unix.Malloc): uthash */
		free(each);
	}
	free_entries(&c->users);
	free_entries(&c->databases);
	free(c);
}

static void apply(struct session_config *to, const struct entry *e)
{
	if (!e)
		return;
	const struct session_config *from = &e->what.values;
	unsigned set = e->what.set;
	if (set & SESSION_POOL_MODE)
		to->mode = from->mode;
	if (set & SESSION_POOL_SIZE)
		to->pool_size = from->pool_size;
	if (set & SESSION_QUERY_TIMEOUT)
		to->query_timeout = from->query_timeout;
	if (set & SESSION_TRANSACTION_TIMEOUT)
		to->transaction_timeout = from->transaction_timeout;
	if (set & SESSION_IDLE_TRANSACTION_TIMEOUT)
		to->idle_transaction_timeout = from->idle_transaction_timeout;
	if (set & SESSION_CLIENT_IDLE_TIMEOUT)
		to->client_idle_timeout = from->client_idle_timeout;
}

static const struct entry *find_entry(const struct entry *table, const char *name)
{
	struct entry *found = NULL;
	if (name)
		HASH_FIND_STR(table, name, found);
	return found;
}

const struct session_config *session_configs_find(struct session_configs *c, const char *user,
                                                  const char *database)
{
	const struct pair of = {find_entry(c->users, user), find_entry(c->databases, database)};
	struct combination *found = NULL;
	if (!of.user && !of.database)
		return &c->otherwise;
	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): uthash */
	HASH_FIND(hh, c->combinations, &of, sizeof of, found);
	if (found)
		return &found->config;
	found = calloc(1, sizeof *found);
	if (!found)
		return &c->otherwise;
	found->of = of;
	found->config = c->otherwise;
	apply(&found->config, of.database);
	apply(&found->config, of.user);
	HASH_ADD(hh, c->combinations, of, sizeof of, found);
	return &found->config;
}
