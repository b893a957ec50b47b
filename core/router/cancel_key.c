/* cancel_key.c - see cancel_key.h.
 *
 * A key lies in the slot that its process id names, or in one of the next, with no free slot
 * between them. Process ids count up, so most lie where they belong. */
/* SPDX-License-Identifier: MIT */
#include "router/cancel_key.h"

#include "base/random.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 64
#define PID_MASK   0x7fffffffu /* process ids are positive 32-bit numbers */

void cancel_keys_init(struct cancel_keys *keys)
{
	uint32_t start;
	*keys = (struct cancel_keys){0};
	random_secret(keys->secret, sizeof keys->secret);
	/* Two routers should not give the same process ids at the same time: pg_basebackup names
	 * its replication slot after its own. */
	random_secret(&start, sizeof start);
	keys->last = start & PID_MASK;
}

void cancel_keys_free(struct cancel_keys *keys)
{
	free(keys->slots);
	OPENSSL_cleanse(keys, sizeof *keys);
}

uint32_t cancel_key_pid(const struct cancel_key *key)
{
	return (uint32_t)(key->serial & PID_MASK);
}

size_t cancel_key_secret(const struct cancel_keys *keys, const struct cancel_key *key,
                         uint8_t secret[CANCEL_SECRET_LONG])
{
	uint64_t serial = key->serial;
	unsigned size = 0;
	if (!HMAC(EVP_sha256(), keys->secret, sizeof keys->secret, (const uint8_t *)&serial,
	          sizeof serial, secret, &size))
		abort(); /* without SHA-256 nobody could connect */
	return key->long_secret ? CANCEL_SECRET_LONG : CANCEL_SECRET_SHORT;
}

/* The slot of `pid`, or the free one where it belongs. There is always a free one. */
static size_t slot_of(const struct cancel_keys *keys, uint32_t pid)
{
	size_t i = pid & (keys->room - 1);
	while (keys->slots[i] && cancel_key_pid(keys->slots[i]) != pid)
		i = (i + 1) & (keys->room - 1);
	return i;
}

/* Three of four slots are used at most. */
static bool grow(struct cancel_keys *keys)
{
	if (keys->count < keys->room / 4 * 3)
		return true;
	struct cancel_keys next = *keys;
	next.room = keys->room ? 2 * keys->room : FIRST_ROOM;
	next.slots = calloc(next.room, sizeof(struct cancel_key *));
	if (!next.slots)
		return false;
	for (size_t i = 0; i < keys->room; i++)
		if (keys->slots[i])
			next.slots[slot_of(&next, cancel_key_pid(keys->slots[i]))] = keys->slots[i];
	free(keys->slots);
	*keys = next;
	return true;
}

enum status cancel_key_give(struct cancel_keys *keys, struct cancel_key *key,
                            enum cancel_holder holder)
{
	size_t slot;
	if (!grow(keys))
		return ST_ENOMEM;
	do {
		*key = (struct cancel_key){.serial = ++keys->last, .holder = holder};
		slot = slot_of(keys, cancel_key_pid(key));
	} while (cancel_key_pid(key) == 0 || keys->slots[slot]);
	keys->slots[slot] = key;
	keys->count++;
	return ST_OK;
}

/* Whether a key that belongs into `home` and lies in `at` may move to the free slot `hole`. */
static bool may_move(const struct cancel_keys *keys, size_t home, size_t at, size_t hole)
{
	size_t mask = keys->room - 1;
	return ((at - home) & mask) >= ((at - hole) & mask);
}

void cancel_key_end(struct cancel_keys *keys, struct cancel_key *key)
{
	size_t mask = keys->room - 1;
	if (key->serial == 0)
		return;
	size_t hole = slot_of(keys, cancel_key_pid(key));
	keys->slots[hole] = NULL;
	keys->count--;
	key->serial = 0;
	for (size_t at = (hole + 1) & mask; keys->slots[at]; at = (at + 1) & mask) {
		if (!may_move(keys, cancel_key_pid(keys->slots[at]) & mask, at, hole))
			continue;
		keys->slots[hole] = keys->slots[at];
		keys->slots[at] = NULL;
		hole = at;
	}
}

struct cancel_key *cancel_key_find(const struct cancel_keys *keys, uint32_t pid,
                                   const uint8_t *secret, size_t size)
{
	uint8_t right[CANCEL_SECRET_LONG];
	struct cancel_key *key = keys->room ? keys->slots[slot_of(keys, pid)] : NULL;
	if (!key || cancel_key_secret(keys, key, right) != size)
		return NULL;
	return CRYPTO_memcmp(right, secret, size) == 0 ? key : NULL;
}
