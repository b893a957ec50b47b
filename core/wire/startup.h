/* startup.h - a client's first packets, which have no type byte (PostgreSQL,
 * chapters 55.2.1, 55.7). */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_WIRE_STARTUP_H
#define MOONGATE_WIRE_STARTUP_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STARTUP_MAX 10000 /* bytes, PostgreSQL's MAX_STARTUP_PACKET_LENGTH */

enum startup_kind { STARTUP_SESSION, STARTUP_SSL, STARTUP_GSS, STARTUP_CANCEL };

/* The pointers are into the packet. */
struct startup {
	enum startup_kind kind;
	size_t size;          /* of the packet */
	uint16_t minor;       /* of protocol 3, for STARTUP_SESSION */
	uint32_t pid, secret; /* for STARTUP_CANCEL */
	const char
	        *parameters; /* name, value, name, value ..., an empty name; each ends with a NUL */
	const char *user, *database; /* the database is the user's name where none was given */
	char complaint[96];          /* what `*wrong` points to where it names the version */
};

/* ST_AGAIN: incomplete. ST_ECLIENT: `*wrong` says what is (a static string), `*sqlstate` its code.
 */
enum status startup_read(const uint8_t *at, size_t there, struct startup *startup,
                         const char **wrong, const char **sqlstate) MUST_CHECK;

/* Steps through the parameters: starts with *at = startup->parameters, false at the end. */
bool startup_next(const char **at, const char **name, const char **value);

#endif
