/* status.h - what came of it: says whether to retry, and whose fault it was. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_BASE_STATUS_H
#define MOONGATE_BASE_STATUS_H

#define MUST_CHECK __attribute__((warn_unused_result))

enum status {
	ST_OK,
	ST_AGAIN,   /* not yet: more bytes, or the peer's buffer, are needed */
	ST_TIMEOUT, /* a deadline passed */
	ST_ECLIENT, /* what the client sent, or asked for, is wrong */
	ST_ESERVER, /* PostgreSQL, or the way to it, failed */
	ST_ENOMEM,  /* out of memory (or descriptors) */
	ST_CLOSED,  /* the other side, or the owner, has closed it */
};

/* "ok", "again", "timeout" ...; never NULL. */
static inline const char *status_name(enum status status)
{
	static const char *const names[] = {"ok",           "again",        "timeout",
	                                    "client error", "server error", "out of memory",
	                                    "closed"};
	return names[status];
}

#endif
