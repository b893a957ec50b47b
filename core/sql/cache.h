/* cache.h - facts by key: at most so many, the least recently used go first.
 *
 * All memory but the facts' is taken when it is made. A pointer to facts is good until the next
 * cache_put(). */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SQL_CACHE_H
#define MOONGATE_SQL_CACHE_H

#include "base/list.h"
#include "sql/facts.h"

struct cache_key {
	uint64_t low, high;
};

struct cache_entry {
	struct cache_key key;
	struct facts *facts;
	struct list recent;
	uint32_t next; /* in its bucket: index + 1, 0: none */
};

struct cache {
	struct cache_entry *entries;
	size_t room, count;
	uint32_t *buckets;  /* index + 1 of the first entry, 0: none */
	size_t mask;        /* buckets are a power of two */
	struct list recent; /* the most recently used first */
	uint64_t evictions;
};

/* False: out of memory; cache_free() is fine then, too. `entries` is at least 1. */
bool cache_init(struct cache *cache, size_t entries);
void cache_free(struct cache *cache);

/* NULL: there is none. */
struct facts *cache_find(struct cache *cache, struct cache_key key);

/* Takes `facts`, which free() ends. The key is not there yet. */
void cache_put(struct cache *cache, struct cache_key key, struct facts *facts);

#endif
