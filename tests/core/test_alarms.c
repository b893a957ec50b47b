/* test_alarms.c - when a foreign loop is told to come back, against the moments that were noted. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/alarms.h"
#include "cluster/context.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MANY 500

static struct alarms alarms;

static int empty(void **state)
{
	(void)state;
	memset(&alarms, 0, sizeof alarms);
	return 0;
}

static void has_nothing_at_first(void **state)
{
	(void)state;
	assert_true(alarms_next(&alarms, 100) == INFINITY);
}

static void says_the_moment_itself_of_a_lone_timer(void **state)
{
	(void)state;
	for (double ahead = 0.0005; ahead < 1e9; ahead *= 1.37) {
		memset(&alarms, 0, sizeof alarms);
		alarms_note(&alarms, 1000, 1000 + ahead);
		assert_near(alarms_next(&alarms, 1000), 1000 + ahead);
		assert_near(alarms_next(&alarms, 1000 + ahead / 2), 1000 + ahead);
		assert_true(alarms_next(&alarms, 1000 + ahead) == INFINITY);
	}
}

static void says_the_first_of_several(void **state)
{
	(void)state;
	alarms_note(&alarms, 0, 30);
	alarms_note(&alarms, 0, 0.01);
	alarms_note(&alarms, 0, 5);
	assert_near(alarms_next(&alarms, 0), 0.01);
	assert_near(alarms_next(&alarms, 1), 5);
	assert_near(alarms_next(&alarms, 10), 30);
}

static double chance(void)
{
	return (double)random() / (double)RAND_MAX;
}

/* Timers are started all the time; whoever comes back when told to meets each of them in time, and
 * does not come much more often than there are timers. */
static void is_late_for_none_by_much(void **state)
{
	(void)state;
	static double due[MANY], started[MANY];
	size_t left = 0, noted = 0, looks = 0;
	double now = 7;
	srandom(1);
	while (noted < 20 * MANY || left) {
		for (size_t i = 0; i < left; i++) {
			if (due[i] > now)
				continue;
			double late = now - due[i], most = fmax(0.001, (due[i] - started[i]) / 128);
			if (late > most + 1e-9)
				fail_msg("late by %g s of %g s", late, due[i] - started[i]);
			left--;
			due[i] = due[left];
			started[i--] = started[left];
		}
		for (; noted < 20 * MANY && left < MANY; noted++, left++) {
			started[left] = now;
			due[left] = now + pow(10, chance() * 6 - 3);
			alarms_note(&alarms, now, due[left]);
		}
		double next = alarms_next(&alarms, now);
		assert_true(next > now);
		now = left ? next : now;
		looks++;
	}
	assert_true(looks < 20 * noted);
}

static void stands_still_between_pause_and_resume(void **state)
{
	(void)state;
	alarms_pause(&alarms);
	double paused = alarms_now(&alarms);
	alarms_pause(&alarms);
	assert_true(alarms_now(&alarms) == paused);
	alarms_resume(&alarms);
	assert_true(alarms_now(&alarms) - paused < 0.1);
	alarms_resume(&alarms);
	assert_true(alarms_now(&alarms) >= paused);
}

static void count(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	++*(int *)timer->data;
}

/* A turn at the moment that was told runs the timer. */
static void knows_of_a_contexts_timers(void **state)
{
	(void)state;
	struct context context = {.loop = ev_loop_new(EVFLAG_AUTO)};
	int runs = 0;
	ev_timer timer;
	ev_timer_init(&timer, count, 0.02, 0);
	timer.data = &runs;
	alarm_start(&context, &timer); /* without alarms it is started all the same */
	assert_true(ev_is_active(&timer));
	ev_timer_stop(context.loop, &timer);
	context.alarms = &alarms;
	ev_timer_set(&timer, 0.02, 0);
	alarm_start(&context, &timer);
	ev_sleep(alarms_next(&alarms, alarms_now(&alarms)) - alarms_now(&alarms));
	ev_run(context.loop, EVRUN_NOWAIT);
	assert_int_equal(runs, 1);
	ev_loop_destroy(context.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(has_nothing_at_first, empty),
	        cmocka_unit_test_setup(says_the_moment_itself_of_a_lone_timer, empty),
	        cmocka_unit_test_setup(says_the_first_of_several, empty),
	        cmocka_unit_test_setup(is_late_for_none_by_much, empty),
	        cmocka_unit_test_setup(stands_still_between_pause_and_resume, empty),
	        cmocka_unit_test_setup(knows_of_a_contexts_timers, empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
