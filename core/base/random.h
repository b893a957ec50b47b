/* random.h - chance as a value that is passed in: one generator per worker. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_BASE_RANDOM_H
#define MOONGATE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

/* Fills `out` with bytes fit for secrets (cancel keys, hash seeds). Aborts if the kernel has none.
 */
static inline void random_secret(void *out, size_t size)
{
	if (getrandom(out, size, 0) != (ssize_t)size)
		abort();
}

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014): any seed is good, one add and two multiplications
 * a number. Not for secrets. */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* A number in [0, 1). */
static inline double random_unit(uint64_t *state)
{
	return (double)(random_next(state) >> 11) * 0x1.0p-53;
}

#endif
