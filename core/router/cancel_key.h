/* cancel_key.h - keys by which a cancel request names what it wants to cancel.
 *
 * A key is a process id, by which its holder is found, and a secret: 4 bytes, from protocol 3.2
 * on 32. Secrets are made when they are asked for, from a random key and the holder's serial
 * number. So a holder keeps 8 bytes; and as no serial number is given twice, no secret is. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_CANCEL_KEY_H
#define MOONGATE_ROUTER_CANCEL_KEY_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CANCEL_SECRET_LONG  32
#define CANCEL_SECRET_SHORT 4

enum cancel_holder { CANCEL_CLIENT, CANCEL_REPLICATION };

/* Embedded in its holder, which must not move. Zero is "not given". */
struct cancel_key {
	uint64_t serial      : 48;
	uint64_t holder      : 8; /* enum cancel_holder */
	uint64_t long_secret : 8; /* to be set by the holder before the client is told */
};

/* One per worker. */
struct cancel_keys {
	struct cancel_key **slots; /* open addressing by process id; NULL: free */
	size_t room, count;        /* room is a power of 2, or 0 */
	uint64_t last;             /* serial number given last */
	uint8_t secret[32];        /* what secrets are made from */
};

void cancel_keys_init(struct cancel_keys *keys);
void cancel_keys_free(struct cancel_keys *keys);

enum status cancel_key_give(struct cancel_keys *keys, struct cancel_key *key,
                            enum cancel_holder holder) MUST_CHECK;

/* The key is not valid any more. Fine when it was not given. */
void cancel_key_end(struct cancel_keys *keys, struct cancel_key *key);

/* The key with this process id, if the secret is right; NULL: there is none. */
struct cancel_key *cancel_key_find(const struct cancel_keys *keys, uint32_t pid,
                                   const uint8_t *secret, size_t size);

/* What BackendKeyData says of it. */
uint32_t cancel_key_pid(const struct cancel_key *key);
size_t cancel_key_secret(const struct cancel_keys *keys, const struct cancel_key *key,
                         uint8_t secret[CANCEL_SECRET_LONG]);

#endif
