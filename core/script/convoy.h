/* convoy.h - quick reads of several callers that go to one server together, in libpq's pipeline
 * mode: one trip for all of them.
 *
 * When a server becomes free and more than one operation waits for it, the first gets it; those
 * right behind it that are quick reads too go along, instead of waiting for a trip of their own.
 * One Sync ends them all, so that each side writes once. That makes them one transaction, of reads
 * that could not see one another anyway; who fails, fails alone: those behind it were not run, and
 * begin anew. Results are told of when the transaction has ended. Who waits in between, or is not
 * known to be quick, ends the row: nobody overtakes anybody.
 *
 * What only its caller says to be a read goes alone: it may do something to the transaction that
 * the others would notice, such as set_config().
 *
 * They have no timeout of their own and leave nothing in the session; so whoever gives up just ends
 * it for all: the server is closed, and the others begin anew. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_CONVOY_H
#define MOONGATE_SCRIPT_CONVOY_H

#include "script/operation.h"

#define CONVOY_SIZE 8     /* at most */
#define CONVOY_TIME 0.001 /* s that PostgreSQL takes for all of them, as far as is known */

/* Whether this statement may ever go with others. */
bool convoy_suits(const struct operation_statement *statement);

/* The operation has got its server, and is about to run. True: it does so in a convoy, and is
 * settled like any other. False: nobody goes along, and nothing was done. */
bool convoy_start(struct operation *op);

/* One of them is given up before it was answered. */
void convoy_leave(struct operation *op);

#endif
