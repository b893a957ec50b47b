/* tally.c - see tally.h. */
/* SPDX-License-Identifier: MIT */
#include "router/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct entry {
	UT_hash_handle hh;
	uint64_t count;
	char *sample;
	char key[];
};

struct tally {
	struct entry *entries;
	uint64_t others;
};

struct tally *tally_new(void)
{
	return calloc(1, sizeof(struct tally));
}

void tally_free(struct tally *t)
{
	struct entry *e, *next;
	if (!t)
		return;
	HASH_ITER (hh, t->entries, e, next) {
		HASH_DEL(t->entries, e); /* NOLINT(clang-analyzer-unix.Malloc): uthash */
		free(e->sample);
		free(e);
	}
	free(t);
}

/* Runs of white space become one space. NULL: out of memory, or there is none. */
static char *copy_sample(const char *text)
{
	char *copy = text ? malloc(TALLY_SAMPLE) : NULL, *to = copy;
	if (!copy)
		return NULL;
	for (; *text && to < copy + TALLY_SAMPLE - 4; text++) {
		bool space = (unsigned char)*text <= ' ';
		if (space && (to == copy || to[-1] == ' '))
			continue;
		*to++ = space ? ' ' : *text;
	}
	snprintf(to, 4, "%s", *text ? "..." : "");
	return copy;
}

static struct entry *entry_new(const char *key, const char *sample)
{
	size_t size = strlen(key) + 1;
	struct entry *e = malloc(sizeof *e + size);
	if (!e)
		return NULL;
	*e = (struct entry){.sample = copy_sample(sample)};
	memcpy(e->key, key, size);
	if (!sample || e->sample)
		return e;
	free(e);
	return NULL;
}

bool tally_add(struct tally *t, const char *key, const char *sample)
{
	char cut[TALLY_KEY];
	struct entry *e;
	snprintf(cut, sizeof cut, "%s", key);
	HASH_FIND_STR(t->entries, cut, e);
	if (!e && HASH_COUNT(t->entries) == TALLY_MOST) {
		t->others++;
		return true;
	}
	if (!e) {
		e = entry_new(cut, sample);
		if (!e)
			return false;
		HASH_ADD_STR(t->entries, key, e);
	}
	e->count++;
	return true;
}

static int by_count(const struct entry *a, const struct entry *b)
{
	if (a->count != b->count)
		return a->count < b->count ? 1 : -1;
	return strcmp(a->key, b->key);
}

void tally_each(struct tally *t, tally_fn *fn, void *arg)
{
	HASH_SORT(t->entries, by_count);
	for (const struct entry *e = t->entries; e; e = e->hh.next)
		fn(&(struct tally_entry){.key = e->key, .sample = e->sample, .count = e->count},
		   arg);
}

uint64_t tally_others(const struct tally *t)
{
	return t->others;
}
