/* thread.h - a thread beside the loop, for what can only be done by blocking. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_BASE_THREAD_H
#define MOONGATE_BASE_THREAD_H

#include <stdbool.h>

/* Runs fn(arg) in a thread that nobody joins; the process's signals are not for it: it begins with
 * all of them blocked. False: it could not be started. */
bool thread_start(void *(*fn)(void *arg), void *arg);

#endif
