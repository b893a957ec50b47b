/* cache.c - entries are taken in order until none is free, then from the end of the list. */
/* SPDX-License-Identifier: MIT */
#include "sql/cache.h"

#include <stdlib.h>

bool cache_init(struct cache *c, size_t entries)
{
	size_t buckets = 1;
	while (buckets < entries)
		buckets *= 2;
	*c = (struct cache){.room = entries, .mask = buckets - 1};
	list_init(&c->recent);
	c->entries = calloc(entries, sizeof(*c->entries));
	c->buckets = calloc(buckets, sizeof(*c->buckets));
	return c->entries && c->buckets;
}

void cache_free(struct cache *c)
{
	for (size_t i = 0; i < c->count; i++)
		free(c->entries[i].facts);
	free(c->entries);
	free(c->buckets);
	*c = (struct cache){0};
}

/* The link that leads to the key's entry, or would. */
static uint32_t *find(struct cache *c, struct cache_key key)
{
	uint32_t *link = &c->buckets[key.low & c->mask];
	while (*link) {
		struct cache_entry *entry = &c->entries[*link - 1];
		if (entry->key.low == key.low && entry->key.high == key.high)
			break;
		link = &entry->next;
	}
	return link;
}

struct facts *cache_find(struct cache *c, struct cache_key key)
{
	uint32_t index = *find(c, key);
	if (!index)
		return NULL;
	struct cache_entry *entry = &c->entries[index - 1];
	if (c->recent.next != &entry->recent) {
		list_remove(&entry->recent);
		list_push_front(&c->recent, &entry->recent);
	}
	return entry->facts;
}

static struct cache_entry *evict(struct cache *c)
{
	struct cache_entry *entry = LIST_ENTRY(c->recent.prev, struct cache_entry, recent);
	*find(c, entry->key) = entry->next;
	list_remove(&entry->recent);
	free(entry->facts);
	c->evictions++;
	return entry;
}

void cache_put(struct cache *c, struct cache_key key, struct facts *facts)
{
	struct cache_entry *entry = c->count < c->room ? &c->entries[c->count++] : evict(c);
	entry->key = key;
	entry->facts = facts;
	entry->next = 0;
	list_push_front(&c->recent, &entry->recent);
	*find(c, key) = (uint32_t)(entry - c->entries) + 1;
}
