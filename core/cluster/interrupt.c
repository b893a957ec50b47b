/* interrupt.c - see interrupt.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/interrupt.h"

#include "base/clock.h"
#include "base/thread.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define FIRST_PAUSE   0.05 /* s until it is asked again, twice as long each time up to: */
#define LONGEST_PAUSE 4.0
#define LONGEST       30.0 /* s in all */
#define READS         64   /* of what it sends meanwhile, which libpq keeps; see leave() */

/* The thread and the context let go of it, each with an exchange: the second one frees it. */
struct interruption {
	struct interruption *next; /* of the context's */
	PGconn *conn;
	PGcancel *request;
	atomic_bool left; /* by one of them */
};

static void let_go(struct interruption *i)
{
	if (atomic_exchange(&i->left, true))
		free(i);
}

/* Nothing is under way any more; in a pipeline an end may follow on an end. */
static bool answered(PGconn *conn)
{
	for (int ends = 0; !PQisBusy(conn);) {
		PGresult *result = PQgetResult(conn);
		ExecStatusType status = PQresultStatus(result);
		PQclear(result);
		ends = result ? 0 : ends + 1;
		if (ends > 1 || (ends && PQpipelineStatus(conn) == PQ_PIPELINE_OFF))
			return true;
		if (result && (status == PGRES_COPY_IN || status == PGRES_COPY_OUT ||
		               status == PGRES_COPY_BOTH || status == PGRES_PIPELINE_SYNC))
			return true; /* it waits for us, or it writes to us */
	}
	return false;
}

/* No answer is wanted any more. PostgreSQL reads that nothing more will come, and ends with what it
 * runs, even with what it has begun to read. But it does not read meanwhile, nor does it heed a
 * request to stop while it cannot write: what it sends is thrown away until it closes. */
static void leave(PGconn *conn, int *reads)
{
	*reads = 0;
	shutdown(PQsocket(conn), SHUT_WR);
}

static bool closed(int fd)
{
	char nowhere[16384];
	ssize_t got = recv(fd, nowhere, sizeof nowhere, MSG_DONTWAIT);
	return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

/* Something has come. Whether that was the end. */
static bool ended(PGconn *conn, int *reads)
{
	if (*reads == 0)
		return closed(PQsocket(conn));
	if (!PQconsumeInput(conn) || answered(conn))
		return true;
	if (--*reads == 0)
		leave(conn, reads);
	return false;
}

/* Whether that has come to an end in so many seconds. It may have before: a backend in COPY FROM
 * says nothing more, heeds no request to stop, and ends with the connection. */
static bool ended_within(PGconn *conn, double seconds, int *reads)
{
	double deadline = clock_now() + seconds;
	struct pollfd p = {.fd = PQsocket(conn), .events = POLLIN};
	if (p.fd < 0 || (*reads > 0 && answered(conn)))
		return true;
	while (seconds > 0) {
		if (poll(&p, 1, (int)ceil(seconds * 1000)) > 0 && ended(conn, reads))
			return true;
		seconds = deadline - clock_now();
	}
	return false;
}

static void *stop(void *arg)
{
	struct interruption *i = arg;
	char error[256];
	int reads = READS;
	double pause = FIRST_PAUSE, waited = 0;
	if (PQflush(i->conn) != 0)
		leave(i->conn, &reads);
	while (waited < LONGEST) {
		PQcancel(i->request, error, sizeof error);
		if (ended_within(i->conn, pause, &reads))
			break;
		waited += pause;
		pause = fmin(2 * pause, LONGEST_PAUSE);
	}
	PQfreeCancel(i->request);
	PQfinish(i->conn);
	let_go(i);
	return NULL;
}

/* Those that have ended go. */
static void forget(struct context *context)
{
	struct interruption **at = &context->interruptions;
	while (*at) {
		struct interruption *i = *at;
		if (atomic_load(&i->left)) {
			*at = i->next;
			free(i);
		} else {
			at = &i->next;
		}
	}
}

void interrupt(struct context *context, PGconn *conn)
{
	forget(context);
	struct interruption *i = calloc(1, sizeof *i);
	PGcancel *request = PQgetCancel(conn);
	if (i && request) {
		*i = (struct interruption){
		        .next = context->interruptions, .conn = conn, .request = request};
		atomic_init(&i->left, false);
		if (thread_start(stop, i)) {
			context->interruptions = i;
			return;
		}
	}
	PQfreeCancel(request);
	PQfinish(conn);
	free(i);
}

void interrupts_end(struct context *context, double seconds)
{
	static const struct timespec moment = {.tv_nsec = 1000000};
	double deadline = clock_now() + seconds;
	for (forget(context); context->interruptions && clock_now() < deadline; forget(context))
		nanosleep(&moment, NULL);
	while (context->interruptions) {
		struct interruption *i = context->interruptions;
		context->interruptions = i->next;
		let_go(i);
	}
}
