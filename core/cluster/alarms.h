/* alarms.h - until when a loop of libev's has nothing to do, for a foreign loop that polls it:
 * libev keeps that to itself.
 *
 * What is noted is when timers are to run as they are started, not that they are stopped later: a
 * moment too many is an idle turn of the loop. Each level is a wheel of slots, eight times as wide
 * as those of the level below, and a slot keeps the first and the last of its moments; of those
 * between them it is known only that there may be some, so that the first is followed by looks in
 * steps of a sixteenth of the slot. Such a timer is late by 1/128 of its time at most. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_ALARMS_H
#define MOONGATE_CLUSTER_ALARMS_H

#include <ev.h>
#include <stdint.h>

#define ALARM_LEVELS 13 /* of the widest slots 63 last for longer than a century */
#define ALARM_SLOTS  64

struct context;

/* Its clock stands still with the loop's: between alarms_pause() and alarms_resume(). */
struct alarms {
	double stood_still, since;   /* s so far; when it stopped, 0: it runs */
	uint64_t used[ALARM_LEVELS]; /* a bit per slot */
	struct {
		double first, last;
	} slots[ALARM_LEVELS][ALARM_SLOTS];
};

/* Starts it on the context's loop, and notes it in the context's alarms, where it has any. */
void alarm_start(const struct context *context, ev_timer *timer);

/* Notes when a timer runs next that repeats itself, and has just run. */
void alarm_again(const struct context *context, const ev_timer *timer);

/* Fine when it has stopped, or runs, already. */
void alarms_pause(struct alarms *alarms);
void alarms_resume(struct alarms *alarms);

/* Seconds by its clock. */
double alarms_now(const struct alarms *alarms);

/* Something is to happen at that moment. */
void alarms_note(struct alarms *alarms, double now, double moment);

/* When the next thing may be to happen; INFINITY: nothing is. Up to `now` all has happened, and is
 * forgotten. */
double alarms_next(struct alarms *alarms, double now);

#endif
