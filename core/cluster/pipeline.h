/* pipeline.h - exec.c's inside: what goes through libpq's pipeline mode, which is several steps in
 * one round trip:
 *
 *   a batch                  statement, Parse, statement ... Sync
 *   a statement's first use  (DEALLOCATE another, Sync) ... Parse, Execute, Sync
 *
 * A statement that is prepared already goes as it is, and so it does in a batch, where others stay
 * as they are: what is to be prepared there and finds no room runs unprepared. The steps of a batch
 * are sent while results are read, so that neither side waits for the other with its buffers full.
 */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_PIPELINE_H
#define MOONGATE_CLUSTER_PIPELINE_H

#include "cluster/exec.h"

/* PQenterPipelineMode(), after the end of single-row mode. After a query whose rows came one by
 * one, libpq would give those of a pipeline's first query one by one, too: it ends that mode as the
 * next query is sent outside of pipelines, or begins inside of one behind another. A query that it
 * refuses for having no text ends it as well, and sends nothing. */
bool pipeline_enter(PGconn *conn);

/* Queues the query as libpq does, by its name where it is to be prepared and the server has it, and
 * else as it is. False: it could not be. */
bool pipeline_send_known(struct server *server, const struct exec_query *query);

/* Sends a query that is a batch, or prepared; x->steps is not 0 then if it takes pipeline mode.
 * Returns as PQflush(): 1 when some is left to be written, -1 when it failed. */
int pipeline_start(struct exec *x, const struct exec_query *query);

/* Goes on with that. */
int pipeline_send(struct exec *x);

/* Takes what results there are. ST_OK: that was all; ST_AGAIN: not yet; ST_ESERVER: the connection
 * is lost; ST_ECLIENT: COPY. */
enum status pipeline_take(struct exec *x);

/* It is over, whatever came of it. */
void pipeline_end(struct exec *x);

/* In exec.c: keeps the last result, but no later one than the first failure. False: COPY, which has
 * no end without the calls that belong to it. */
bool exec_keep(struct exec *x, PGresult *result);

#endif
