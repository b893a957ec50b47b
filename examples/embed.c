/* embed.c - Shows libmoongate in a C program with a libev loop of its own: reads go to a replica
 * and writes to the primary, while the program's timer goes on ticking.
 *
 *   cc -o embed examples/embed.c $(pkg-config --cflags --libs moongate)
 *   DATABASE_URL=postgres://... DATABASE_REPLICA_URL=postgres://... ./embed */
/* SPDX-License-Identifier: MIT */
#include <ev.h>
#include <moongate.h>
#include <stdio.h>
#include <stdlib.h>

struct program {
	struct ev_loop *loop;
	struct moongate *moongate;
	struct moongate_cluster *cluster;
	ev_timer timer;
	unsigned ticks, left; /* queries under way */
};

static void ask(struct program *program, const char *sql, moongate_done_fn *fn)
{
	const struct moongate_statement statement = {.sql = sql, .timeout = 10};
	if (moongate_query(program->cluster, &statement, fn, program))
		program->left++;
}

/* Without the timer and the cluster nothing keeps ev_run() from returning. */
static void finish(struct program *program)
{
	printf("the timer %s meanwhile\n", program->ticks > 0 ? "has ticked" : "stood still");
	ev_timer_stop(program->loop, &program->timer);
	moongate_close(program->cluster);
}

/* The rows go when this returns. */
static void on_rows(struct moongate_result *result, void *arg)
{
	struct program *program = arg;
	if (*result->sqlstate)
		fprintf(stderr, "embed: %s (SQLSTATE %s)\n", result->message, result->sqlstate);
	for (int i = 0; i < PQntuples(result->rows); i++)
		printf("%s from %s\n", PQgetvalue(result->rows, i, 0), result->endpoint);
	if (--program->left == 0)
		finish(program);
}

/* Both go on at the same time. The second sees what was written: a replica that may lack it is not
 * asked. */
static void on_written(struct moongate_result *result, void *arg)
{
	ask(arg, "select 'the slow one' from pg_sleep(0.2)", on_rows);
	ask(arg, "select name from greetings where name like 'written%' limit 1", on_rows);
	on_rows(result, arg);
}

static void on_read(struct moongate_result *result, void *arg)
{
	ask(arg,
	    "create table if not exists greetings (name text);"
	    "insert into greetings values ('written') returning name",
	    on_written);
	on_rows(result, arg);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct program *program = timer->data;
	(void)loop;
	(void)events;
	program->ticks++;
}

int main(void)
{
	struct program program = {.loop = EV_DEFAULT};
	char error[512] = "out of memory";
	program.moongate = moongate_new(program.loop);
	if (program.moongate)
		program.cluster = moongate_open_env(program.moongate, error, sizeof error);
	if (!program.cluster) {
		fprintf(stderr, "embed: %s\n", error);
		moongate_free(program.moongate);
		return EXIT_FAILURE;
	}
	ev_timer_init(&program.timer, on_tick, 0.02, 0.02);
	program.timer.data = &program;
	ev_timer_start(program.loop, &program.timer);
	ask(&program, "select 'read'", on_read);
	ev_run(program.loop, 0);
	moongate_free(program.moongate);
	return EXIT_SUCCESS;
}
