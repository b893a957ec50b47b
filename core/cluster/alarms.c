/* alarms.c - see alarms.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/alarms.h"

#include "base/clock.h"
#include "cluster/context.h"

#include <math.h>

#define FINEST 0.001 /* s, of a slot of the first level */
#define LOOKS  16    /* at a slot whose first moment has passed */

static double width(unsigned level)
{
	return FINEST * (double)(UINT64_C(1) << (3 * level));
}

/* The first level on which the moment lies less than a whole turn ahead. */
static unsigned level_of(double ahead)
{
	unsigned level = 0;
	while (level < ALARM_LEVELS - 1 && ahead >= width(level) * (ALARM_SLOTS - 1))
		level++;
	return level;
}

void alarms_note(struct alarms *a, double now, double moment)
{
	unsigned level = level_of(moment - now);
	double farthest = now + width(level) * (ALARM_SLOTS - 1);
	if (moment > farthest) /* it is looked for too early, and is not there */
		moment = farthest;
	unsigned slot = (unsigned)fmod(moment / width(level), ALARM_SLOTS);
	uint64_t bit = UINT64_C(1) << slot;
	double *first = &a->slots[level][slot].first, *last = &a->slots[level][slot].last;
	if (!(a->used[level] & bit) || *last <= now)
		*first = *last = moment;
	*first = fmin(*first, moment);
	*last = fmax(*last, moment);
	a->used[level] |= bit;
}

static double next_of(struct alarms *a, unsigned level, double now)
{
	double next = INFINITY;
	for (uint64_t left = a->used[level]; left; left &= left - 1) {
		unsigned slot = (unsigned)__builtin_ctzll(left);
		double first = a->slots[level][slot].first, last = a->slots[level][slot].last;
		if (last <= now)
			a->used[level] &= ~(UINT64_C(1) << slot);
		else if (first > now)
			next = fmin(next, first);
		else
			next = fmin(next, fmin(last, now + fmax(FINEST, width(level) / LOOKS)));
	}
	return next;
}

double alarms_now(const struct alarms *a)
{
	return (a->since > 0 ? a->since : clock_now()) - a->stood_still;
}

void alarms_pause(struct alarms *a)
{
	if (a->since <= 0)
		a->since = clock_now();
}

void alarms_resume(struct alarms *a)
{
	if (a->since > 0)
		a->stood_still += clock_now() - a->since;
	a->since = 0;
}

/* The loop's idea of now may be older than the clock's, and its timers are due by that: not later
 * than this says. */
static void note(const struct context *context, double seconds)
{
	struct alarms *a = context->alarms;
	if (!a)
		return;
	double now = alarms_now(a);
	alarms_note(a, now, now + fmax(0, seconds) + FINEST);
}

void alarm_start(const struct context *context, ev_timer *timer)
{
	note(context, ev_timer_remaining(context->loop, timer));
	ev_timer_start(context->loop, timer);
}

void alarm_again(const struct context *context, const ev_timer *timer)
{
	note(context, timer->repeat);
}

double alarms_next(struct alarms *a, double now)
{
	double next = INFINITY;
	for (unsigned level = 0; level < ALARM_LEVELS; level++)
		next = fmin(next, next_of(a, level, now));
	return next;
}
