/* frame.h - where one message ends and the next begins (PostgreSQL, chapter 55.7).
 *
 * A message is a type byte, a length that counts itself but not the type, and a body. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_WIRE_FRAME_H
#define MOONGATE_WIRE_FRAME_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define WIRE_HEADER 5
/* PostgreSQL takes no message of 1 GB or more (PQ_LARGE_MESSAGE_LIMIT, MaxAllocSize). */
#define WIRE_MESSAGE_MAX 0x40000000u

struct frame {
	char type;
	size_t size; /* of the whole message, header included */
};

static inline uint32_t wire_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint16_t wire_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* The header of a message whose body has `size` bytes. */
static inline void wire_put_header(uint8_t *at, char type, size_t size)
{
	uint32_t length = (uint32_t)(size + 4);
	at[0] = (uint8_t)type;
	at[1] = (uint8_t)(length >> 24);
	at[2] = (uint8_t)(length >> 16);
	at[3] = (uint8_t)(length >> 8);
	at[4] = (uint8_t)length;
}

/* Reads a header. ST_AGAIN: fewer than WIRE_HEADER bytes are there. ST_ECLIENT: no message can have
 * this length. The body may still be on its way. */
static inline enum status wire_frame(const uint8_t *at, size_t there, struct frame *frame)
{
	if (there < WIRE_HEADER)
		return ST_AGAIN;
	uint32_t length = wire_u32(at + 1);
	frame->type = (char)at[0];
	frame->size = (size_t)length + 1;
	return length >= 4 && length < WIRE_MESSAGE_MAX ? ST_OK : ST_ECLIENT;
}

#endif
