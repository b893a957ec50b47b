/* count_allocations.c - preloaded into a client: says at its end how often it has asked for memory.
 */
/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define SEEN __attribute__((visibility("default")))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static atomic_ulong asked; /* by all threads of the process: nothing else could count for them */

SEEN void *malloc(size_t size)
{
	asked++;
	return __libc_malloc(size);
}

SEEN void *calloc(size_t count, size_t size)
{
	asked++;
	return __libc_calloc(count, size);
}

SEEN void *realloc(void *old, size_t size)
{
	asked++;
	return __libc_realloc(old, size);
}

static __attribute__((destructor)) void tell(void)
{
	fprintf(stderr, "allocations %lu\n", asked);
}
