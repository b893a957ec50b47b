/* freshness.c - see freshness.h.
 *
 * From sample to sample both `sent` and `position` strictly grow: a later probe that reports no
 * more than an earlier one says more than it, and replaces it. */
/* SPDX-License-Identifier: MIT */
#include "cluster/freshness.h"

#include <stddef.h>

#define WAL_PAGE          8192u /* XLOG_BLCKSZ */
#define WAL_SEGMENT       (16u << 20)
#define PAGE_HEADER       24u /* SizeOfXLogShortPHD */
#define FIRST_PAGE_HEADER 40u /* SizeOfXLogLongPHD, on a segment's first page */

static const struct freshness_sample *newest(const struct freshness *f)
{
	return f->count > 0 ? &f->samples[f->count - 1] : NULL;
}

/* Keeps the newest: it is what a replica that keeps up is compared with. */
static void drop_every_other(struct freshness *f)
{
	for (unsigned i = 0; i < f->count / 2; i++)
		f->samples[i] = f->samples[2 * i + 1];
	f->count /= 2;
}

void freshness_primary(struct freshness *f, double sent, uint32_t timeline, uint64_t position)
{
	if (newest(f) && sent <= newest(f)->sent) /* overtaken by the answer to a later probe */
		return;
	if (timeline != f->timeline) {
		f->timeline = timeline;
		f->count = 0;
	}
	position = freshness_reachable(position, f->segment_size);
	/* A primary that crashed may come back at a lower position, without what it had not
	 * flushed. */
	while (newest(f) && newest(f)->position >= position)
		f->count--;
	if (f->count == FRESHNESS_SAMPLES)
		drop_every_other(f);
	f->samples[f->count++] = (struct freshness_sample){.sent = sent, .position = position};
}

double freshness_of(const struct freshness *f, uint32_t timeline, uint64_t position, double before)
{
	if (timeline != f->timeline)
		return before;
	unsigned reached = 0, beyond = f->count; /* samples below `reached` have been reached */
	while (reached < beyond) {
		unsigned middle = (reached + beyond) / 2;
		if (f->samples[middle].position <= position)
			reached = middle + 1;
		else
			beyond = middle;
	}
	return reached == 0 ? before : fmax(before, f->samples[reached - 1].sent);
}

uint64_t freshness_reachable(uint64_t position, uint32_t segment_size)
{
	uint64_t segment = segment_size ? segment_size : WAL_SEGMENT;
	if (position % segment == FIRST_PAGE_HEADER)
		return position - FIRST_PAGE_HEADER;
	if (position % segment > WAL_PAGE && position % WAL_PAGE == PAGE_HEADER)
		return position - PAGE_HEADER;
	return position;
}
