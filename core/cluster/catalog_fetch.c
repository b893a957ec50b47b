/* catalog_fetch.c - see catalog_fetch.h.
 *
 * What has come is worked through in slices, so that the loop never stands still for it. */
/* SPDX-License-Identifier: MIT */
#include "cluster/catalog_fetch.h"

#include "base/clock.h"
#include "cluster/alarms.h"
#include "cluster/catalog_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_TIMEOUT  10    /* s for the digest */
#define READ_TIMEOUT 60    /* s for all of it */
#define SLICE        0.002 /* s of the loop's time at once */
#define PAUSE        0.002 /* s for the others in between */
#define ROWS_AT_ONCE 64    /* between two looks at the clock */

static void end(struct catalog_fetch *f)
{
	if (f->context)
		ev_timer_stop(f->context->loop, &f->timer);
	exec_cancel(&f->exec);
	server_free(f->server);
	PQclear(f->rows);
	catalog_builder_free(f->builder);
	f->server = NULL;
	f->rows = NULL;
	f->builder = NULL;
	f->context = NULL;
}

void catalog_fetch_cancel(struct catalog_fetch *f)
{
	end(f);
}

static void fail(struct catalog_fetch *f, enum status status, const char *sqlstate,
                 const char *reason)
{
	char kept_state[6], kept[256];
	snprintf(kept_state, sizeof kept_state, "%s", sqlstate);
	snprintf(kept, sizeof kept, "%.*s", (int)strcspn(reason, "\n"), reason);
	end(f);
	f->fn(f, status, NULL, kept_state, kept);
}

static void succeed(struct catalog_fetch *f, struct catalog *catalog)
{
	end(f);
	f->fn(f, ST_OK, catalog, "", "");
}

static const char *value(const PGresult *rows, int row, int column)
{
	return PQgetisnull(rows, row, column) ? NULL : PQgetvalue(rows, row, column);
}

static bool add_row(struct catalog_fetch *f)
{
	const PGresult *r = f->rows;
	int at = f->row++;
	const char *called = value(r, at, CATALOG_SQL_CALLED_KIND);
	const struct catalog_row row = {
	        .kind = *PQgetvalue(r, at, CATALOG_SQL_KIND),
	        .schema = PQgetvalue(r, at, CATALOG_SQL_SCHEMA),
	        .name = PQgetvalue(r, at, CATALOG_SQL_NAME),
	        .flags = value(r, at, CATALOG_SQL_FLAGS),
	        .body = value(r, at, CATALOG_SQL_BODY),
	        .called_kind = called ? *called : '\0',
	        .called_schema = PQgetvalue(r, at, CATALOG_SQL_CALLED_SCHEMA),
	        .called_name = PQgetvalue(r, at, CATALOG_SQL_CALLED_NAME),
	};
	return catalog_builder_add(f->builder, &row);
}

enum progress { PROGRESS_MORE, PROGRESS_DONE, PROGRESS_FAILED };

static enum progress progress(struct catalog_fetch *f)
{
	for (int i = 0; i < ROWS_AT_ONCE && f->row < PQntuples(f->rows); i++)
		if (!add_row(f))
			return PROGRESS_FAILED;
	if (f->row < PQntuples(f->rows) || catalog_builder_step(f->builder))
		return PROGRESS_MORE;
	return PROGRESS_DONE;
}

static void finish(struct catalog_fetch *f)
{
	struct catalog *catalog = catalog_builder_finish(f->builder);
	if (catalog)
		succeed(f, catalog);
	else
		fail(f, ST_ENOMEM, "", "out of memory");
}

static void build_some(struct catalog_fetch *f)
{
	double until = clock_now() + SLICE;
	enum progress last;
	do
		last = progress(f);
	while (last == PROGRESS_MORE && clock_now() < until);
	if (last == PROGRESS_DONE) {
		finish(f);
	} else if (last == PROGRESS_FAILED) {
		bool large = f->row > CATALOG_ROWS;
		fail(f, large ? ST_ECLIENT : ST_ENOMEM, "",
		     large ? "it is too large" : "out of memory");
	} else {
		ev_timer_set(&f->timer, PAUSE, 0);
		alarm_start(f->context, &f->timer);
	}
}

static void on_slice(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	build_some(LIST_ENTRY(timer, struct catalog_fetch, timer));
}

/* The answer, or NULL: the fetch has failed, and has ended. */
static PGresult *check(struct catalog_fetch *f, enum status status, PGresult *result, int columns)
{
	if (status != ST_OK) {
		fail(f, status, "", status == ST_TIMEOUT ? "no answer in time" : f->server->error);
		return NULL;
	}
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQnfields(result) == columns)
		return result;
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	char kept[256], kept_state[6];
	snprintf(kept, sizeof kept, "%s", message ? message : "an answer of another form");
	snprintf(kept_state, sizeof kept_state, "%s", sqlstate ? sqlstate : "");
	PQclear(result);
	fail(f, ST_ESERVER, kept_state, kept);
	return NULL;
}

static void on_rows(struct exec *exec, enum status status, PGresult *result)
{
	struct catalog_fetch *f = LIST_ENTRY(exec, struct catalog_fetch, exec);
	f->rows = check(f, status, result, CATALOG_SQL_COLUMNS);
	if (!f->rows)
		return;
	server_free(f->server); /* somebody else may need the place */
	f->server = NULL;
	f->builder = catalog_builder_new(f->overrides);
	if (f->builder)
		build_some(f);
	else
		fail(f, ST_ENOMEM, "", "out of memory");
}

static void ask(struct catalog_fetch *f, const char *sql, double timeout, exec_done_fn *fn)
{
	const struct exec_query query = {.sql = sql, .count = -1, .timeout = timeout};
	if (exec_start(&f->exec, f->server, &query, fn) != ST_OK)
		fail(f, ST_ESERVER, "", f->server->error);
}

static void on_digest(struct exec *exec, enum status status, PGresult *result)
{
	struct catalog_fetch *f = LIST_ENTRY(exec, struct catalog_fetch, exec);
	result = check(f, status, result, 1);
	if (!result)
		return;
	snprintf(f->digest, sizeof f->digest, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	if (*f->known && strcmp(f->known, f->digest) == 0) {
		succeed(f, NULL);
		return;
	}
	ask(f, catalog_sql_read(PQserverVersion(f->server->conn)), READ_TIMEOUT, on_rows);
}

static void on_connected(struct server *server, enum status status, void *arg)
{
	struct catalog_fetch *f = arg;
	if (status == ST_OK)
		ask(f, catalog_sql_digest, ASK_TIMEOUT, on_digest);
	else
		fail(f, status, server->sqlstate, server->error);
}

enum status catalog_fetch_start(struct catalog_fetch *f,
                                const struct catalog_fetch_request *request, catalog_fetched_fn *fn)
{
	*f = (struct catalog_fetch){.fn = fn, .overrides = request->overrides};
	snprintf(f->known, sizeof f->known, "%s", request->known);
	ev_init(&f->timer, on_slice);
	f->server = server_open(request->endpoint, request->user, request->database,
	                        request->connect_timeout, on_connected, f);
	if (!f->server)
		return ST_ENOMEM;
	f->context = f->server->context;
	return ST_OK;
}
