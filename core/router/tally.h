/* tally.h - how often each of some texts came, in bounded memory. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_TALLY_H
#define MOONGATE_ROUTER_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALLY_MOST   10000 /* texts that are told apart; the others are counted together */
#define TALLY_KEY    1024  /* bytes of one, with its NUL; what is longer is cut */
#define TALLY_SAMPLE 300

struct tally_entry {
	const char *key;
	const char *sample; /* what came with it the first time, on one line, cut */
	uint64_t count;
};

struct tally;

struct tally *tally_new(void); /* NULL: out of memory */
void tally_free(struct tally *tally);

/* `sample` may be NULL. False: out of memory. */
bool tally_add(struct tally *tally, const char *key, const char *sample);

/* Runs once per text, in the order of their counts, the largest first; by text among equals. */
typedef void tally_fn(const struct tally_entry *entry, void *arg);
void tally_each(struct tally *tally, tally_fn *fn, void *arg);

/* How often others came than those that are told apart. */
uint64_t tally_others(const struct tally *tally);

#endif
