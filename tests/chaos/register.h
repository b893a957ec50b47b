/* register.h - what the checker knows of the register: per key a counter that only grows, one by
 * one. Shared by all sessions; every function may be called from any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CHAOS_REGISTER_H
#define MOONGATE_CHAOS_REGISTER_H

#include <stdint.h>

struct registers;

/* Counters start at 0. */
struct registers *registers_new(unsigned keys);
void registers_free(struct registers *r);

/* A write was acknowledged at `now`: the counter of `key` had become `value`. */
void registers_acknowledge(struct registers *r, unsigned key, int64_t value, double now);

/* The greatest value that was acknowledged, to whomever. */
int64_t registers_floor(struct registers *r, unsigned key);

/* The same as it was at the moment `then`. */
int64_t registers_floor_at(struct registers *r, unsigned key, double then);

/* When anyone's last write was acknowledged; -INFINITY: none was. */
double registers_last_write(struct registers *r);

#endif
