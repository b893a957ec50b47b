/* register.c - see register.h. */
/* SPDX-License-Identifier: MIT */
#include "register.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

/* times[v]: when value v was acknowledged; INFINITY: never. */
struct counter {
	int64_t floor, room;
	double *times;
};

struct registers {
	pthread_mutex_t lock;
	double last_write;
	unsigned keys;
	struct counter counters[];
};

struct registers *registers_new(unsigned keys)
{
	struct registers *r = calloc(1, sizeof *r + keys * sizeof r->counters[0]);
	if (!r)
		abort();
	pthread_mutex_init(&r->lock, NULL);
	r->keys = keys;
	r->last_write = -INFINITY;
	return r;
}

void registers_free(struct registers *r)
{
	for (unsigned i = 0; i < r->keys; i++)
		free(r->counters[i].times);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static void make_room(struct counter *c, int64_t value)
{
	if (value < c->room)
		return;
	int64_t room = 2 * value + 64;
	c->times = realloc(c->times, (size_t)room * sizeof c->times[0]);
	if (!c->times)
		abort();
	for (int64_t i = c->room; i < room; i++)
		c->times[i] = INFINITY;
	c->room = room;
}

void registers_acknowledge(struct registers *r, unsigned key, int64_t value, double now)
{
	struct counter *c = &r->counters[key];
	pthread_mutex_lock(&r->lock);
	make_room(c, value);
	c->times[value] = now;
	if (value > c->floor)
		c->floor = value;
	r->last_write = now;
	pthread_mutex_unlock(&r->lock);
}

int64_t registers_floor(struct registers *r, unsigned key)
{
	pthread_mutex_lock(&r->lock);
	int64_t floor = r->counters[key].floor;
	pthread_mutex_unlock(&r->lock);
	return floor;
}

int64_t registers_floor_at(struct registers *r, unsigned key, double then)
{
	const struct counter *c = &r->counters[key];
	pthread_mutex_lock(&r->lock);
	int64_t floor = c->floor;
	while (floor > 0 && c->times[floor] > then)
		floor--;
	pthread_mutex_unlock(&r->lock);
	return floor;
}

double registers_last_write(struct registers *r)
{
	pthread_mutex_lock(&r->lock);
	double last = r->last_write;
	pthread_mutex_unlock(&r->lock);
	return last;
}
