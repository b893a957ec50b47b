/* statistics.c - see statistics.h.
 *
 * Statements hang in a hash table by their fingerprints, which are hashes themselves, and in a
 * list, the one that ran last first. */
/* SPDX-License-Identifier: MIT */
#include "cluster/statistics.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024 /* a power of two */

struct statistics {
	struct statement_tally *buckets[BUCKETS];
	struct list recent;
	unsigned count, splits;
	struct tally endpoints[CLUSTER_ENDPOINTS];
};

double tally_mean(const struct tally *t)
{
	return t->calls ? t->total / (double)t->calls : 0;
}

struct statistics *statistics_new(void)
{
	struct statistics *s = calloc(1, sizeof *s);
	if (s)
		list_init(&s->recent);
	return s;
}

static void free_split(struct statistics *s, struct tally **split)
{
	s->splits -= *split != NULL;
	free(*split);
	*split = NULL;
}

static void free_splits(struct statistics *s, struct statement_tally *t)
{
	for (unsigned i = 0; i < CLUSTER_ENDPOINTS; i++)
		free_split(s, &t->on[i]);
}

void statistics_free(struct statistics *s)
{
	if (!s)
		return;
	LIST_EACH (&s->recent, link) {
		struct statement_tally *t = LIST_ENTRY(link, struct statement_tally, recent);
		free_splits(s, t);
		free(t);
	}
	free(s);
}

static struct statement_tally **bucket_of(struct statistics *s, uint64_t fingerprint)
{
	return &s->buckets[fingerprint & (BUCKETS - 1)];
}

const struct statement_tally *statistics_of(const struct statistics *s, uint64_t fingerprint)
{
	const struct statement_tally *t = s->buckets[fingerprint & (BUCKETS - 1)];
	while (t && t->fingerprint != fingerprint)
		t = t->next;
	return t;
}

const struct tally *statistics_on(const struct statistics *s, unsigned endpoint)
{
	return &s->endpoints[endpoint];
}

/* The one that has not run for longest, as if it were new. */
static struct statement_tally *evict(struct statistics *s)
{
	struct statement_tally *t = LIST_ENTRY(s->recent.prev, struct statement_tally, recent);
	struct statement_tally **link = bucket_of(s, t->fingerprint);
	while (*link != t)
		link = &(*link)->next;
	*link = t->next;
	list_remove(&t->recent);
	free_splits(s, t);
	s->count--;
	return memset(t, 0, sizeof *t);
}

/* NULL: out of memory. */
static struct statement_tally *add(struct statistics *s, const struct sample *sample)
{
	struct statement_tally *t =
	        s->count < STATISTICS_STATEMENTS ? calloc(1, sizeof *t) : evict(s);
	if (!t)
		return NULL;
	struct statement_tally **bucket = bucket_of(s, sample->fingerprint);
	t->fingerprint = sample->fingerprint;
	t->kind = sample->kind;
	t->next = *bucket;
	*bucket = t;
	list_init(&t->recent);
	s->count++;
	return t;
}

static struct statement_tally *find(struct statistics *s, const struct sample *sample)
{
	struct statement_tally *t = *bucket_of(s, sample->fingerprint);
	while (t && t->fingerprint != sample->fingerprint)
		t = t->next;
	if (!t)
		t = add(s, sample);
	if (t && s->recent.next != &t->recent) {
		list_remove(&t->recent);
		list_push_front(&s->recent, &t->recent);
	}
	return t;
}

/* NULL: there are too many, or memory is short. */
static struct tally *split(struct statistics *s, struct statement_tally *t, unsigned endpoint)
{
	if (!t->on[endpoint] && s->splits < STATISTICS_SPLITS) {
		t->on[endpoint] = calloc(1, sizeof *t->on[endpoint]);
		s->splits += t->on[endpoint] != NULL;
	}
	return t->on[endpoint];
}

static void count(struct tally *t, const struct sample *sample, unsigned bucket)
{
	if (!t)
		return;
	t->calls++;
	t->errors += sample->failed;
	t->rows += sample->rows;
	t->total += sample->seconds;
	if (sample->seconds > t->max)
		t->max = sample->seconds;
	histogram_count(&t->times, bucket);
}

void statistics_record(struct statistics *s, const struct sample *sample)
{
	unsigned bucket = histogram_bucket(sample->seconds);
	struct statement_tally *t = find(s, sample);
	count(t ? &t->all : NULL, sample, bucket);
	if (sample->endpoint >= CLUSTER_ENDPOINTS)
		return;
	count(t ? split(s, t, sample->endpoint) : NULL, sample, bucket);
	count(&s->endpoints[sample->endpoint], sample, bucket);
}

static int by_total(const void *a, const void *b)
{
	const struct statement_tally *x = *(const struct statement_tally *const *)a,
	                             *y = *(const struct statement_tally *const *)b;
	return (x->all.total < y->all.total) - (x->all.total > y->all.total);
}

size_t statistics_list(const struct statistics *s,
                       const struct statement_tally *list[STATISTICS_STATEMENTS])
{
	size_t listed = 0;
	LIST_EACH (&s->recent, link)
		list[listed++] = LIST_ENTRY(link, struct statement_tally, recent);
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it is the pointers that are sorted */
	qsort(list, listed, sizeof *list, by_total);
	return listed;
}

void statistics_forget(struct statistics *s, unsigned endpoint)
{
	s->endpoints[endpoint] = (struct tally){0};
	LIST_EACH (&s->recent, link)
		free_split(s, &LIST_ENTRY(link, struct statement_tally, recent)->on[endpoint]);
}

static void remap_splits(struct statistics *s, struct statement_tally *t, const unsigned *before)
{
	struct tally *kept[CLUSTER_ENDPOINTS];
	memcpy(kept, t->on, sizeof kept);
	memset(t->on, 0, sizeof t->on);
	for (unsigned i = 0; i < CLUSTER_ENDPOINTS; i++) {
		if (before[i] == CLUSTER_ENDPOINTS)
			continue;
		t->on[i] = kept[before[i]];
		kept[before[i]] = NULL;
	}
	for (unsigned i = 0; i < CLUSTER_ENDPOINTS; i++)
		free_split(s, &kept[i]);
}

void statistics_remap(struct statistics *s, const unsigned before[CLUSTER_ENDPOINTS])
{
	struct tally kept[CLUSTER_ENDPOINTS];
	memcpy(kept, s->endpoints, sizeof kept);
	memset(s->endpoints, 0, sizeof s->endpoints);
	for (unsigned i = 0; i < CLUSTER_ENDPOINTS; i++)
		if (before[i] != CLUSTER_ENDPOINTS)
			s->endpoints[i] = kept[before[i]];
	LIST_EACH (&s->recent, link)
		remap_splits(s, LIST_ENTRY(link, struct statement_tally, recent), before);
}
