/* writes.c - a set-associative table: a key belongs to one row of WAYS places.
 *
 * `floor` is the latest of the moments that were thrown out: it counts for every key. */
/* SPDX-License-Identifier: MIT */
#include "cluster/writes.h"

#include <math.h>
#include <stdlib.h>

#define WAYS 8

struct entry {
	uint64_t key; /* 0: free */
	double moment;
};

struct writes {
	double floor;
	size_t rows; /* a power of two */
	struct entry entries[];
};

struct writes *writes_new(size_t keys)
{
	size_t rows = 1;
	while (rows * WAYS < keys)
		rows *= 2;
	struct writes *w = calloc(1, sizeof *w + rows * WAYS * sizeof *w->entries);
	if (!w)
		return NULL;
	w->floor = -INFINITY;
	w->rows = rows;
	return w;
}

void writes_free(struct writes *w)
{
	free(w);
}

static size_t row_of(const struct writes *w, uint64_t key)
{
	return (size_t)(key & (w->rows - 1)) * WAYS;
}

static uint64_t stored(uint64_t key)
{
	return key ? key : 1;
}

/* The key's place, or a free one, or the one that was written longest ago. */
static struct entry *place_for(struct writes *w, uint64_t key)
{
	struct entry *row = &w->entries[row_of(w, key)], *oldest = row;
	for (size_t i = 0; i < WAYS; i++) {
		if (row[i].key == key || row[i].key == 0)
			return &row[i];
		if (row[i].moment < oldest->moment)
			oldest = &row[i];
	}
	return oldest;
}

void writes_note(struct writes *w, uint64_t key, double now)
{
	key = stored(key);
	struct entry *e = place_for(w, key);
	if (e->key != key) {
		if (e->key)
			w->floor = fmax(w->floor, e->moment);
		*e = (struct entry){.key = key, .moment = now};
	}
	e->moment = fmax(e->moment, now);
}

double writes_last(const struct writes *w, uint64_t key)
{
	key = stored(key);
	const struct entry *row = &w->entries[row_of(w, key)];
	for (size_t i = 0; i < WAYS; i++)
		if (row[i].key == key)
			return fmax(w->floor, row[i].moment);
	return w->floor;
}
