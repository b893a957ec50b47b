/* buffer.c - see buffer.h for the invariant. */
/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST_ROOM 256

/* Moves what waits to the front; cheap, since a buffer is compacted only when it is full. */
static void compact(struct buffer *b)
{
	memmove(b->bytes, b->bytes + b->head, buffer_size(b));
	b->tail -= b->head;
	b->head = 0;
}

uint8_t *buffer_reserve(struct buffer *b, size_t size)
{
	if (b->room - b->tail >= size)
		return b->bytes ? b->bytes + b->tail : NULL;
	if (b->room - buffer_size(b) >= size && b->head >= buffer_size(b)) {
		compact(b);
		return b->bytes + b->tail;
	}
	size_t room = b->room ? b->room : SMALLEST_ROOM;
	while (room - buffer_size(b) < size)
		room *= 2;
	uint8_t *bytes = malloc(room);
	if (!bytes)
		return NULL;
	if (b->bytes)
		memcpy(bytes, b->bytes + b->head, buffer_size(b));
	free(b->bytes);
	*b = (struct buffer){.bytes = bytes, .tail = buffer_size(b), .room = room};
	return b->bytes + b->tail;
}

void buffer_commit(struct buffer *b, size_t size)
{
	assert(size <= b->room - b->tail);
	b->tail += size;
}

enum status buffer_append(struct buffer *b, const void *bytes, size_t size)
{
	if (size == 0)
		return ST_OK;
	uint8_t *to = buffer_reserve(b, size);
	if (!to)
		return ST_ENOMEM;
	memcpy(to, bytes, size);
	buffer_commit(b, size);
	return ST_OK;
}

void buffer_consume(struct buffer *b, size_t size)
{
	assert(size <= buffer_size(b));
	b->head += size;
	if (b->head == b->tail)
		buffer_free(b);
}

void buffer_free(struct buffer *b)
{
	free(b->bytes);
	*b = (struct buffer){0};
}
