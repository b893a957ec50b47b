/* refusal.h - what PostgreSQL's refusal of a connection means for the endpoint. Pure.
 *
 * PostgreSQL, appendix A: class 28 invalid authorization, 3D000 unknown database, 42501 no
 * privilege, 53300 too many connections, class 57P operator intervention, 08 connection exception.
 */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_REFUSAL_H
#define MOONGATE_CLUSTER_REFUSAL_H

#include <stdbool.h>
#include <string.h>

/* The endpoint is alive and well, it only refused this connection: not a sign of bad health.
 * "" (nobody answered) and 57P01..57P03 (shutting down, crashed, starting up) are. */
static inline bool refusal_proves_life(const char *sqlstate)
{
	return *sqlstate && strncmp(sqlstate, "57P", 3) != 0;
}

/* No other endpoint would decide otherwise: the client is told at once. */
static inline bool refusal_is_final(const char *sqlstate)
{
	return strncmp(sqlstate, "28", 2) == 0 || strcmp(sqlstate, "3D000") == 0 ||
	       strcmp(sqlstate, "42501") == 0;
}

#endif
