/* load.c - sessions that write to and read from a register through the router, and check what the
 * router's consistency level promises.
 *
 *   chaos_load --conninfo C [--readers N] [--writers N] [--mixed N] [--promise none|own|any] ...
 *
 * The table (--table, "register") has rows (key, value) for keys 0 .. --keys - 1; each write adds
 * one to a value, and a row (token, value) to the ledger (--ledger, "ledger"), token being
 * "SESSION-NUMBER". It ends after --reads N and --seconds S, or at "stop" on standard input, where
 * "lagging" and "caught-up" say whether replicas are held back. The totals go to standard output as
 * "name value"; with --outcomes FILE a line per write: token, outcome, SQLSTATE, when it began and
 * ended (s, CLOCK_MONOTONIC). Exit status 0, also if something was violated; 1 if a session hangs.
 */
/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <getopt.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE 60 /* s until a session that does not answer counts as hanging */

struct options {
	unsigned counts[3]; /* by kind of session */
	const char *outcomes;
};

enum {
	O_CONNINFO,
	O_TABLE,
	O_LEDGER,
	O_OUTCOMES,
	O_READERS,
	O_WRITERS,
	O_MIXED,
	O_KEYS,
	O_PROMISE,
	O_MONOTONIC,
	O_BOUNDED,
	O_SETTLE,
	O_BURST,
	O_PAUSE,
	O_READ_PAUSE,
	O_WRITE_PAUSE,
	O_BLOCKS,
	O_READS,
	O_SECONDS
};

static const struct option long_options[] = {
        {"conninfo", 1, NULL, O_CONNINFO},     {"table", 1, NULL, O_TABLE},
        {"ledger", 1, NULL, O_LEDGER},         {"outcomes", 1, NULL, O_OUTCOMES},
        {"readers", 1, NULL, O_READERS},       {"writers", 1, NULL, O_WRITERS},
        {"mixed", 1, NULL, O_MIXED},           {"keys", 1, NULL, O_KEYS},
        {"promise", 1, NULL, O_PROMISE},       {"monotonic", 0, NULL, O_MONOTONIC},
        {"bounded", 1, NULL, O_BOUNDED},       {"settle", 1, NULL, O_SETTLE},
        {"burst", 1, NULL, O_BURST},           {"pause", 1, NULL, O_PAUSE},
        {"read-pause", 1, NULL, O_READ_PAUSE}, {"write-pause", 1, NULL, O_WRITE_PAUSE},
        {"blocks", 1, NULL, O_BLOCKS},         {"reads", 1, NULL, O_READS},
        {"seconds", 1, NULL, O_SECONDS},       {NULL, 0, NULL, 0}};

static enum promise promise_named(const char *name)
{
	static const char *const names[] = {"none", "own", "any"};
	for (enum promise p = PROMISE_NONE; p <= PROMISE_ANY; p++)
		if (strcmp(name, names[p]) == 0)
			return p;
	fprintf(stderr, "chaos_load: --promise none, own or any\n");
	exit(2);
}

static bool take_number(struct load_config *c, struct options *o, int option, double value)
{
	switch (option) {
	case O_READERS:
		o->counts[SESSION_READER] = (unsigned)value;
		return true;
	case O_WRITERS:
		o->counts[SESSION_WRITER] = (unsigned)value;
		return true;
	case O_MIXED:
		o->counts[SESSION_MIXED] = (unsigned)value;
		return true;
	case O_KEYS:
		c->keys = (unsigned)value;
		return true;
	case O_READS:
		c->reads = (int64_t)value;
		return true;
	case O_SECONDS:
		return c->seconds = value, true;
	case O_BOUNDED:
		return c->bounded = value, true;
	case O_SETTLE:
		return c->settle = value, true;
	case O_BURST:
		return c->burst = value, true;
	case O_PAUSE:
		return c->pause = value, true;
	case O_READ_PAUSE:
		return c->read_pause = value, true;
	case O_WRITE_PAUSE:
		return c->write_pause = value, true;
	case O_BLOCKS:
		return c->blocks = value, true;
	default:
		return false;
	}
}

static bool take_option(struct load_config *c, struct options *o, int option)
{
	switch (option) {
	case O_CONNINFO:
		return c->conninfo = optarg, true;
	case O_TABLE:
		return c->table = optarg, true;
	case O_LEDGER:
		return c->ledger = optarg, true;
	case O_OUTCOMES:
		return o->outcomes = optarg, true;
	case O_PROMISE:
		return c->promise = promise_named(optarg), true;
	case O_MONOTONIC:
		return c->monotonic = true, true;
	default:
		return optarg && take_number(c, o, option, strtod(optarg, NULL));
	}
}

static void read_options(int argc, char **argv, struct load_config *c, struct options *o)
{
	int option;
	*c = (struct load_config){.table = "register", .ledger = "ledger", .keys = 64};
	*o = (struct options){{0}, NULL};
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (!take_option(c, o, option))
			exit(2);
	if (!c->conninfo || c->keys == 0) {
		fprintf(stderr, "chaos_load: --conninfo is missing\n");
		exit(2);
	}
}

/* The driver's commands; its end is "stop", too. */
static void take_commands(struct load *load)
{
	char line[256];
	ssize_t size = read(STDIN_FILENO, line, sizeof line - 1);
	line[size > 0 ? size : 0] = '\0';
	if (strstr(line, "lagging"))
		atomic_store(&load->lagging, true);
	if (strstr(line, "caught-up"))
		atomic_store(&load->lagging, false);
	if (size <= 0 || strstr(line, "stop"))
		atomic_store(&load->stop, true);
}

static void run_until_told(struct load *load)
{
	struct pollfd commands = {.fd = STDIN_FILENO, .events = POLLIN};
	while (!atomic_load(&load->stop)) {
		if (poll(&commands, 1, 10) > 0)
			take_commands(load);
		if (load->config.reads && atomic_load(&load->reads) >= load->config.reads &&
		    load_now() - load->began >= load->config.seconds)
			atomic_store(&load->stop, true);
	}
}

/* How many sessions do not end. */
static unsigned wait_for_all(const struct session *sessions, unsigned count)
{
	double deadline = load_now() + PATIENCE;
	unsigned left = count;
	while (left && load_now() < deadline) {
		left = 0;
		for (unsigned i = 0; i < count; i++)
			left += !atomic_load(&sessions[i].done);
		if (left)
			usleep(1000);
	}
	return left;
}

static void add_ports(struct port_count *all, const struct port_count *more)
{
	for (int i = 0; i < PORTS && more[i].port; i++) {
		int at = 0;
		while (at < PORTS - 1 && all[at].port && all[at].port != more[i].port)
			at++;
		all[at].port = more[i].port;
		all[at].answers += more[i].answers;
		all[at].eligible += more[i].eligible;
	}
}

static void add(struct session *total, const struct session *s)
{
	total->reads += s->reads;
	total->violations += s->violations;
	total->read_errors += s->read_errors;
	total->reconnects += s->reconnects;
	total->refusals += s->refusals;
	total->slowest_read = fmax(total->slowest_read, s->slowest_read);
	total->slowest_write = fmax(total->slowest_write, s->slowest_write);
}

/* The answers of the nodes to one kind of session. */
static void say_ports(const struct session *sessions, unsigned count, enum session_kind kind,
                      const char *name)
{
	struct port_count all[PORTS] = {{0}};
	for (unsigned i = 0; i < count; i++)
		if (sessions[i].kind == kind)
			add_ports(all, sessions[i].ports);
	for (int i = 0; i < PORTS && all[i].port; i++) {
		printf("%s_%d %lld\n", name, all[i].port, (long long)all[i].answers);
		printf("%s_eligible_%d %lld\n", name, all[i].port, (long long)all[i].eligible);
	}
}

/* Of those that only read: nothing of theirs has to be waited for. */
static double slowest_reader(const struct session *sessions, unsigned count)
{
	double slowest = 0;
	for (unsigned i = 0; i < count; i++)
		if (sessions[i].kind == SESSION_READER)
			slowest = fmax(slowest, sessions[i].slowest_read);
	return slowest;
}

static void say_totals(const struct session *sessions, unsigned count, double seconds)
{
	struct session total = {0};
	long long outcomes[OUTCOMES] = {0};
	for (unsigned i = 0; i < count; i++) {
		add(&total, &sessions[i]);
		for (size_t k = 0; k < sessions[i].write_count; k++)
			outcomes[sessions[i].writes[k].outcome]++;
	}
	printf("seconds %.3f\nreads %lld\nviolations %lld\nread_errors %lld\n", seconds,
	       (long long)total.reads, (long long)total.violations, (long long)total.read_errors);
	printf("reconnects %lld\nrefusals %lld\n", (long long)total.reconnects,
	       (long long)total.refusals);
	printf("slowest_read %.6f\nslowest_write %.6f\n", total.slowest_read, total.slowest_write);
	printf("acknowledged %lld\nfailed %lld\nunknown %lld\nsilent %lld\n",
	       outcomes[OUTCOME_ACKNOWLEDGED], outcomes[OUTCOME_FAILED], outcomes[OUTCOME_UNKNOWN],
	       outcomes[OUTCOME_SILENT]);
	printf("slowest_reader %.6f\n", slowest_reader(sessions, count));
	say_ports(sessions, count, SESSION_READER, "reader");
	say_ports(sessions, count, SESSION_MIXED, "mixed");
}

static void save_outcomes(const struct session *sessions, unsigned count, const char *path)
{
	static const char *const names[] = {"acknowledged", "failed", "unknown", "silent"};
	FILE *file = fopen(path, "w");
	if (!file)
		abort();
	for (unsigned i = 0; i < count; i++) {
		for (size_t k = 0; k < sessions[i].write_count; k++) {
			const struct write_record *w = &sessions[i].writes[k];
			fprintf(file, "%u-%zu\t%s\t%s\t%.6f\t%.6f\n", i, k, names[w->outcome],
			        w->sqlstate, w->began, w->ended);
		}
	}
	fclose(file);
}

static unsigned start_all(struct load *load, struct session *sessions, const struct options *o)
{
	unsigned count = 0;
	for (enum session_kind kind = SESSION_READER; kind <= SESSION_MIXED; kind++)
		for (unsigned i = 0; i < o->counts[kind]; i++, count++)
			session_start(&sessions[count], load, count, kind);
	return count;
}

int main(int argc, char **argv)
{
	struct load load = {0};
	struct options o;
	read_options(argc, argv, &load.config, &o);
	unsigned wanted = o.counts[0] + o.counts[1] + o.counts[2];
	struct session *sessions = calloc(wanted + 1, sizeof *sessions);
	load.registers = registers_new(load.config.keys);
	load.began = load_now();
	if (!sessions)
		return 1;
	unsigned count = start_all(&load, sessions, &o);
	run_until_told(&load);
	double seconds = load_now() - load.began;
	unsigned hanging = wait_for_all(sessions, count);
	printf("hanging %u\n", hanging);
	say_totals(sessions, count, seconds);
	if (o.outcomes)
		save_outcomes(sessions, count, o.outcomes);
	fflush(stdout);
	if (hanging)
		_exit(1); /* their threads cannot be joined */
	for (unsigned i = 0; i < count; i++)
		session_free(&sessions[i]);
	free(sessions);
	registers_free(load.registers);
	return 0;
}
