/* loans.h - the servers that an application's handles hold, so that closing a cluster can take them
 * back, and one that goes away is noticed. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_LOANS_H
#define MOONGATE_SCRIPT_LOANS_H

#include "base/list.h"
#include "cluster/pool.h"

/* Inside of a connection's handle. */
struct loan {
	struct list link;      /* in its cluster's loans */
	struct server *server; /* NULL: given back, or lost */
	unsigned *lent;        /* how many there are in all; NULL: nobody counts */
	bool busy;             /* a statement is under way */
	unsigned pins;         /* what its statements have left in the session */
	char lost[256];        /* why it was lost; "" */
};

/* `lent` counts those that are under way, and may be NULL. */
void loan_begin(struct loan *loan, struct list *loans, unsigned *lent, struct server *server);

/* After something else heard the server's events: the loan hears them again. */
void loan_watch(struct loan *loan);

/* Gives the server back; it is lent again if it is as it was. Fine when it is gone. */
void loan_end(struct loan *loan);

/* The server is unfit for more. */
void loan_lose(struct loan *loan, const char *why);

/* Takes all servers back, closing them. */
void loans_end(struct list *loans);

#endif
