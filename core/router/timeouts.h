/* timeouts.h - what a client may take its time for: docs/configuration.md, `timeouts`.
 *
 * All clients are looked at four times a second, so a timeout is met that late at most. What has
 * passed is told with PostgreSQL's own SQLSTATE: 57014 for a query, which is cancelled (08007 where
 * it may have written, and its server does not even answer that); 25P04 for a
 * transaction, 25P03 for one that rests, 57P05 for a silent client, which all end the connection. A
 * client that has not said who it is within a minute goes without a word, as with PostgreSQL
 * (authentication_timeout). */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_TIMEOUTS_H
#define MOONGATE_ROUTER_TIMEOUTS_H

struct worker;

void timeouts_init(struct worker *w);
void timeouts_stop(struct worker *w);

#endif
