/* startup.h - a client's first packets, which have no type byte (PostgreSQL,
 * chapters 55.2.1, 55.7). */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_WIRE_STARTUP_H
#define MOONGATE_WIRE_STARTUP_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STARTUP_MAX   10000 /* bytes, PostgreSQL's MAX_STARTUP_PACKET_LENGTH */
#define STARTUP_MINOR 2     /* the newest protocol that we speak is 3.2 */

enum startup_kind { STARTUP_SESSION, STARTUP_SSL, STARTUP_GSS, STARTUP_CANCEL };

/* What `replication` asks for: nothing, a physical walsender, one in a database (55.4). */
enum startup_replication { REPLICATION_NONE, REPLICATION_PHYSICAL, REPLICATION_LOGICAL };

/* The pointers are into the packet. */
struct startup {
	enum startup_kind kind;
	size_t size;    /* of the packet */
	uint16_t minor; /* of protocol 3, as asked for; see startup_minor() */
	enum startup_replication replication;
	uint32_t pid;          /* for STARTUP_CANCEL */
	const uint8_t *secret; /* likewise */
	size_t secret_size;
	const char
	        *parameters; /* name, value, name, value ..., an empty name; each ends with a NUL */
	const char *user, *database; /* the database is the user's name where none was given */
	char complaint[96];          /* what `*wrong` points to where it quotes the packet */
};

/* The minor version that is spoken: what was asked for, or the newest that we know. 3.1 differs
 * from 3.0 in name only; from 3.2 on cancel keys are longer. */
static inline unsigned startup_minor(const struct startup *startup)
{
	return startup->minor < STARTUP_MINOR ? startup->minor : STARTUP_MINOR;
}

/* ST_AGAIN: incomplete. ST_ECLIENT: `*wrong` says what is (a static string, or one in `startup`),
 * `*sqlstate` its code.
 */
enum status startup_read(const uint8_t *at, size_t there, struct startup *startup,
                         const char **wrong, const char **sqlstate) MUST_CHECK;

/* Steps through the parameters: starts with *at = startup->parameters, false at the end. */
bool startup_next(const char **at, const char **name, const char **value);

#endif
