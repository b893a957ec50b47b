/* api_fixture.h - a context on a loop of its own, and callbacks that note what they were told. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_TESTS_API_FIXTURE_H
#define MOONGATE_TESTS_API_FIXTURE_H

#include "moongate.h"
#include "unit.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE 20 /* s; whoever waits longer waits in vain */

struct api {
	struct ev_loop *loop;
	struct moongate *m;
	struct moongate_cluster *c;
	char error[512];
};

/* What a callback was told, and what it does then. */
struct heard {
	unsigned times;
	char sqlstate[6], message[256], value[256], endpoint[64];
	struct moongate_connection *connection;
	struct moongate_cluster *closes; /* not NULL: closed in the callback */
	struct moongate *frees;          /* the same */
	PGresult *kept;                  /* `keeps`: the rows */
	bool keeps;
};

static inline int api_set_up(void **state)
{
	struct api *a = calloc(1, sizeof *a);
	a->loop = ev_loop_new(EVFLAG_AUTO);
	a->m = moongate_new(a->loop);
	assert_non_null(a->m);
	assert_true(moongate_log(a->m, "off", STDERR_FILENO));
	assert_true(moongate_lua_path(a->m, "lua/?.lua;lua/?/init.lua"));
	alarm(PATIENCE);
	*state = a;
	return 0;
}

static inline int api_tear_down(void **state)
{
	struct api *a = *state;
	moongate_free(a->m);
	ev_loop_destroy(a->loop);
	free(a);
	alarm(0);
	return 0;
}

static inline void on_done(struct moongate_result *r, void *arg)
{
	struct heard *h = arg;
	h->times++;
	snprintf(h->sqlstate, sizeof h->sqlstate, "%s", r->sqlstate);
	snprintf(h->message, sizeof h->message, "%s", r->message);
	snprintf(h->endpoint, sizeof h->endpoint, "%s", r->endpoint);
	if (PQntuples(r->rows) > 0)
		snprintf(h->value, sizeof h->value, "%s", PQgetvalue(r->rows, 0, 0));
	h->connection = r->connection;
	if (h->keeps) {
		h->kept = r->rows;
		r->rows = NULL;
	}
	moongate_close(h->closes);
	moongate_free(h->frees);
}

static inline struct moongate_pending *query(struct api *a, const char *sql, struct heard *heard)
{
	return moongate_query(a->c, &(struct moongate_statement){.sql = sql}, on_done, heard);
}

/* Until it was told so often. */
static inline void wait_for(const struct api *a, const struct heard *heard, unsigned times)
{
	while (heard->times < times)
		ev_run(a->loop, EVRUN_ONCE);
}

static inline void open_at(struct api *a, const char *primary, const char *replica)
{
	const struct moongate_url replicas[] = {{.url = replica}};
	const struct moongate_options options = {.primary = {.url = primary},
	                                         .replicas = replicas,
	                                         .replica_count = replica ? 1 : 0,
	                                         .acquire_timeout = 1,
	                                         .health_interval = 0.05};
	a->c = moongate_open(a->m, &options, a->error, sizeof a->error);
	if (!a->c)
		fail_msg("%s", a->error);
}

/* With a cluster on the PostgreSQL that the environment names. */
static inline int api_set_up_live(void **state)
{
	api_set_up(state);
	struct api *a = *state;
	open_at(a, getenv("DATABASE_URL"), getenv("DATABASE_REPLICA_URL"));
	return 0;
}

/* The script's text lies in a file for as long as it is loaded. */
static inline void open_script(struct api *a, const char *database, const char *text)
{
	char path[] = "/tmp/moongate-api-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	dprintf(fd, "%s", text);
	close(fd);
	a->c = moongate_open_script(a->m, path, database, a->error, sizeof a->error);
	unlink(path);
}

#endif
