/* interrupt.c - see interrupt.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

/* A request that overtakes the statement is lost: PostgreSQL passes over what it is not running
 * yet. So it is sent again. The server is nobody else's meanwhile, and the key is no other
 * backend's. */
static void *send_cancel(void *arg)
{
	static const struct timespec pauses[] = {{0, 100000000}, {1, 0}};
	PGcancel *request = arg;
	char error[256];
	PQcancel(request, error, sizeof error);
	for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
		nanosleep(&pauses[i], NULL);
		PQcancel(request, error, sizeof error);
	}
	PQfreeCancel(request);
	return NULL;
}

/* The application's signals are not for this thread: it begins with all of them blocked. */
void interrupt(PGconn *conn)
{
	pthread_t thread;
	sigset_t all, before;
	PGcancel *request = PQgetCancel(conn);
	if (!request)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, send_cancel, request) == 0)
		pthread_detach(thread);
	else
		PQfreeCancel(request);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}
