/* clock.h - monotonic time in seconds, the only clock that decides anything here.
 *
 * Decisions take `now` as an argument; only the edges (loop callbacks, main) read the clock. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_BASE_CLOCK_H
#define MOONGATE_BASE_CLOCK_H

#include <time.h>

/* Seconds since an arbitrary start; never goes back. */
static inline double clock_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

#endif
