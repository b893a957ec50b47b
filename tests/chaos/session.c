/* session.c - see session.h. */
/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <libpq-fe.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COMPLAINTS      40 /* lines; the totals tell the rest */
#define READS_PER_WRITE 5

double load_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void rest(double seconds)
{
	usleep((useconds_t)(seconds * 1e6));
}

__attribute__((format(printf, 2, 3))) static void complain(struct session *s, const char *format,
                                                           ...)
{
	char text[512];
	va_list arguments;
	if (atomic_fetch_add(&s->load->complaints, 1) >= COMPLAINTS)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	fprintf(stderr, "%.6f session %u: %s\n", load_now(), s->number, text);
}

/* Connects until it succeeds; NULL: the load has stopped. */
static PGconn *connect_anew(struct session *s)
{
	while (!atomic_load(&s->load->stop)) {
		PGconn *conn = PQconnectdb(s->load->config.conninfo);
		if (PQstatus(conn) == CONNECTION_OK)
			return conn;
		s->refusals++;
		complain(s, "refused: %s", PQerrorMessage(conn));
		PQfinish(conn);
		rest(0.05);
	}
	return NULL;
}

/* One statement, by simple or extended query. */
static PGresult *run(struct session *s, PGconn *conn, const char *sql, bool extended)
{
	atomic_store(&s->busy_since, load_now());
	PGresult *result = extended ? PQexecParams(conn, sql, 0, NULL, NULL, NULL, NULL, 0)
	                            : PQexec(conn, sql);
	atomic_store(&s->busy_since, 0);
	return result;
}

static void count_answer(struct session *s, int port, bool counts)
{
	for (int i = 0; i < PORTS; i++) {
		if (s->ports[i].port == 0)
			s->ports[i].port = port;
		if (s->ports[i].port == port) {
			s->ports[i].answers++;
			s->ports[i].eligible += counts;
			return;
		}
	}
}

/* What a read of `key` that is sent now must see at least. */
static int64_t demanded(const struct session *s, unsigned key, double now)
{
	const struct load_config *c = &s->load->config;
	int64_t least = 0;
	if (c->promise == PROMISE_OWN)
		least = s->own[key];
	if (c->promise == PROMISE_ANY)
		least = registers_floor(s->load->registers, key);
	if (c->bounded > 0) {
		int64_t floor = registers_floor_at(s->load->registers, key, now - c->bounded);
		least = floor > least ? floor : least;
	}
	return c->monotonic && s->seen[key] > least ? s->seen[key] : least;
}

static void check(struct session *s, unsigned key, int64_t value, int64_t least, int port)
{
	if (value < least) {
		s->violations++;
		complain(s,
		         "VIOLATION: key %u is %lld on port %d; own %lld, seen %lld, demanded %lld",
		         key, (long long)value, port, (long long)s->own[key],
		         (long long)s->seen[key], (long long)least);
	}
	if (value > s->seen[key])
		s->seen[key] = value;
}

/* Whether replicas have had the time to catch up with what the promise covers. */
static bool eligible(const struct session *s, double now)
{
	const struct load *load = s->load;
	if (atomic_load(&load->lagging) || load->config.settle <= 0)
		return false;
	double last = load->config.promise == PROMISE_ANY ? registers_last_write(load->registers)
	                                                  : s->last_write;
	return now - fmax(last, load->began) >= load->config.settle;
}

static void take_answer(struct session *s, const PGresult *result, unsigned key, int64_t least,
                        bool counts)
{
	int64_t value = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	int port = atoi(PQgetvalue(result, 0, 1));
	s->reads++;
	atomic_fetch_add(&s->load->reads, 1);
	count_answer(s, port, counts);
	check(s, key, value, least, port);
}

/* False: the connection is lost. */
static bool read_one(struct session *s, PGconn *conn, unsigned key)
{
	char sql[256];
	double now = load_now();
	int64_t least = demanded(s, key, now);
	bool counts = eligible(s, now);
	/* This setting names the node without being on the list of what does. */
	snprintf(sql, sizeof sql, "select value, current_setting('port') from %s where key = %u",
	         s->load->config.table, key);
	PGresult *result = run(s, conn, sql, s->number % 2);
	s->slowest_read = fmax(s->slowest_read, load_now() - now);
	bool ok = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
	if (ok) {
		take_answer(s, result, key, least, counts);
	} else {
		s->read_errors++;
		complain(s, "read: %s", PQerrorMessage(conn));
	}
	PQclear(result);
	return PQstatus(conn) == CONNECTION_OK;
}

static struct write_record *new_record(struct session *s)
{
	if (s->write_count == s->write_room) {
		s->write_room = 2 * s->write_room + 1024;
		s->writes = realloc(s->writes, s->write_room * sizeof s->writes[0]);
		if (!s->writes)
			abort();
	}
	struct write_record *record = &s->writes[s->write_count++];
	*record = (struct write_record){.began = load_now()};
	return record;
}

/* What an error says of a statement that was to take effect at once (`final`), or with a COMMIT
 * that was not sent yet. PostgreSQL's 57P01 may mean a commit that waits for a replica. */
static enum outcome outcome_of(const char *sqlstate, bool final)
{
	if (!final)
		return OUTCOME_FAILED;
	if (!*sqlstate)
		return OUTCOME_SILENT;
	bool unknown = strcmp(sqlstate, "08007") == 0 || strncmp(sqlstate, "57P01", 5) == 0 ||
	               strcmp(sqlstate, "57P02") == 0;
	return unknown ? OUTCOME_UNKNOWN : OUTCOME_FAILED;
}

/* Runs one statement of a write; the value that it returns, or 0. */
static int64_t step(struct session *s, PGconn *conn, struct write_record *record, const char *sql,
                    bool final)
{
	int64_t value = 0;
	PGresult *result = run(s, conn, sql, s->number % 2);
	ExecStatusType status = PQresultStatus(result);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	if (status == PGRES_TUPLES_OK && PQntuples(result) == 1) {
		value = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	} else if (status == PGRES_COMMAND_OK) {
		if (strcmp(PQcmdStatus(result), "ROLLBACK") == 0)
			record->outcome = OUTCOME_FAILED;
	} else {
		snprintf(record->sqlstate, sizeof record->sqlstate, "%s", sqlstate ? sqlstate : "");
		record->outcome = outcome_of(record->sqlstate, final);
		complain(s, "write %zu, %s: %s %s", s->write_count - 1,
		         final ? "at its end" : "before its end", record->sqlstate,
		         PQerrorMessage(conn));
	}
	PQclear(result);
	return value;
}

static const char bump[] =
        "with bumped as (update %s set value = value + 1 where key = %u returning value)"
        " insert into %s (token, value) select '%u-%zu', value from bumped returning value";

static void roll_back(PGconn *conn)
{
	if (PQstatus(conn) == CONNECTION_OK && PQtransactionStatus(conn) != PQTRANS_IDLE)
		PQclear(PQexec(conn, "rollback"));
}

static int64_t write_in_block(struct session *s, PGconn *conn, struct write_record *record,
                              const char *sql)
{
	int64_t value = 0;
	step(s, conn, record, "begin", false);
	if (record->outcome == OUTCOME_ACKNOWLEDGED)
		value = step(s, conn, record, sql, false);
	if (record->outcome == OUTCOME_ACKNOWLEDGED)
		step(s, conn, record, "commit", true);
	roll_back(conn);
	return value;
}

/* False: the connection is lost. */
static bool write_one(struct session *s, PGconn *conn, unsigned key)
{
	const struct load_config *c = &s->load->config;
	struct write_record *record = new_record(s);
	char sql[512];
	snprintf(sql, sizeof sql, bump, c->table, key, c->ledger, s->number, s->write_count - 1);
	bool block = rand_r(&s->random) < c->blocks * RAND_MAX;
	int64_t value =
	        block ? write_in_block(s, conn, record, sql) : step(s, conn, record, sql, true);
	record->ended = load_now();
	s->slowest_write = fmax(s->slowest_write, record->ended - record->began);
	if (record->outcome == OUTCOME_ACKNOWLEDGED) {
		s->own[key] = value;
		s->last_write = record->ended;
		registers_acknowledge(s->load->registers, key, value, record->ended);
	}
	return PQstatus(conn) == CONNECTION_OK;
}

static bool time_to_write(const struct session *s, double now)
{
	const struct load_config *c = &s->load->config;
	if (s->kind == SESSION_READER || now < s->next_write)
		return false;
	return c->burst <= 0 || fmod(now - s->load->began, c->burst + c->pause) < c->burst;
}

/* A write, and reads of what was written and of others, as the session's kind and the time have it.
 */
static bool act(struct session *s, PGconn *conn)
{
	const struct load_config *c = &s->load->config;
	unsigned key = (unsigned)rand_r(&s->random) % c->keys;
	double now = load_now();
	if (time_to_write(s, now)) {
		s->next_write = now + c->write_pause;
		if (!write_one(s, conn, key))
			return false;
	} else if (s->kind == SESSION_WRITER) {
		rest(fmin(0.01, fmax(0.001, s->next_write - now)));
	}
	for (int i = 0; i < READS_PER_WRITE && s->kind != SESSION_WRITER; i++) {
		if (!read_one(s, conn, i == 0 ? key : (unsigned)rand_r(&s->random) % c->keys))
			return false;
	}
	if (c->read_pause > 0 && s->kind != SESSION_WRITER)
		rest(c->read_pause);
	return true;
}

static void *live(void *argument)
{
	struct session *s = argument;
	PGconn *conn = connect_anew(s);
	while (conn && !atomic_load(&s->load->stop)) {
		if (act(s, conn))
			continue;
		PQfinish(conn);
		s->reconnects++;
		conn = connect_anew(s);
	}
	PQfinish(conn);
	atomic_store(&s->done, true);
	return NULL;
}

void session_start(struct session *s, struct load *load, unsigned number, enum session_kind kind)
{
	*s = (struct session){.load = load, .number = number, .kind = kind, .random = number + 1};
	s->last_write = -INFINITY;
	s->own = calloc(load->config.keys, sizeof s->own[0]);
	s->seen = calloc(load->config.keys, sizeof s->seen[0]);
	if (!s->own || !s->seen || pthread_create(&s->thread, NULL, live, s) != 0)
		abort();
}

void session_free(struct session *s)
{
	pthread_join(s->thread, NULL);
	free(s->own);
	free(s->seen);
	free(s->writes);
}
