/* operation_parts.h - an operation's inside, for the files that make it up:
 *
 *   operation.c         where it runs
 *   operation_answer.c  what an answer means
 *   operation_cancel.c  how it is given up while PostgreSQL goes on with its server
 *   convoy.c            several that go to one server together */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_OPERATION_PARTS_H
#define MOONGATE_SCRIPT_OPERATION_PARTS_H

#include "script/operation.h"

/* operation.c */

/* Its server, if it has one, goes back; `usable`: nothing of the operation's is under way there. */
void operation_give_back(struct operation *op, bool usable);

/* A server is asked for, of the endpoints that the request does not exclude. */
void operation_seek(struct operation *op);

/* It has its server, and is sent. */
void operation_send(struct operation *op);

/* It is done; and has failed. */
void operation_finish(struct operation *op);
void operation_fail(struct operation *op, const char *sqlstate, const char *message);

/* Why no endpoint was to be had: the one that was tried last, or else the first that is not well;
 * NULL: all are. */
const struct endpoint *operation_blame(const struct operation *op, const struct endpoint *last);

/* The operation whose dispatch this is; NULL: it is something else's. */
struct operation *operation_of_dispatch(struct dispatch *dispatch);

/* It has no server any more, through no fault of its own or of its endpoint's. */
void operation_begin_anew(struct operation *op);

/* operation_answer.c */

/* For statistics.h: what it came to, where it is not run again; the server is still there. */
void operation_tally(const struct operation *op, bool failed);

/* exec.h or flow.h says what came of it, and its server is nobody else's concern. */
void operation_settle(struct operation *op, enum status status);

/* operation_cancel.c */

/* Its time begins. */
void operation_arm(struct operation *op);

/* It was answered: settles it once no cancel request is on its way. */
void operation_take(struct operation *op, enum status status, PGresult *result);

/* For exec_start(). */
void operation_executed(struct exec *exec, enum status status, PGresult *result);

/* Fails, saying after how long it was cancelled, and where; with a result, PostgreSQL has said so.
 */
void operation_fail_in_time(struct operation *op, const char *endpoint);

#endif
