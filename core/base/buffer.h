/* buffer.h - bytes on their way: appended at one end, consumed at the other.
 *
 *    0 .. head   already consumed
 * head .. tail   waiting
 * tail .. room   free
 *
 * An empty buffer owns no memory: consuming the last byte frees it. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_BASE_BUFFER_H
#define MOONGATE_BASE_BUFFER_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct buffer {
	uint8_t *bytes;
	size_t head, tail, room;
};

static inline size_t buffer_size(const struct buffer *b)
{
	return b->tail - b->head;
}

static inline const uint8_t *buffer_data(const struct buffer *b)
{
	return b->bytes + b->head;
}

/* Copies `size` bytes behind those waiting. ST_ENOMEM leaves the buffer as it was. */
enum status buffer_append(struct buffer *b, const void *bytes, size_t size) MUST_CHECK;

/* Makes room for `size` more bytes and returns where to write them, NULL when out of memory;
 * buffer_commit() then says how many were written. */
uint8_t *buffer_reserve(struct buffer *b, size_t size) MUST_CHECK;
void buffer_commit(struct buffer *b, size_t size);

/* Forgets the first `size` waiting bytes. */
void buffer_consume(struct buffer *b, size_t size);

void buffer_free(struct buffer *b);

#endif
