/* writes.h - when something was last written, by key, in a fixed amount of memory. Pure.
 *
 * Keys are hashes of what they stand for. Where two fall together, or one had to give way to
 * another, a later moment than its own is told: reads may go to the primary that need not, and
 * never the other way round. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_WRITES_H
#define MOONGATE_CLUSTER_WRITES_H

#include <stddef.h>
#include <stdint.h>

struct writes;

/* Room for `keys` of them, rounded up; 16 bytes each. NULL: out of memory. */
struct writes *writes_new(size_t keys);
void writes_free(struct writes *w); /* NULL is fine */

/* A write under `key` was seen done at `now`. */
void writes_note(struct writes *w, uint64_t key, double now);

/* The last moment that counts for `key`; -INFINITY: never. */
double writes_last(const struct writes *w, uint64_t key);

#endif
