/* complaint.h - what is wrong, in words, where the caller wants them. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_BASE_COMPLAINT_H
#define MOONGATE_BASE_COMPLAINT_H

#include <stdbool.h>
#include <stddef.h>

struct complaint_to {
	char *text;
	size_t size;
};

/* Writes the sentence, cut to `to->size` bytes. Returns false, for `return complain(...)`. */
__attribute__((format(printf, 2, 3))) bool complain(const struct complaint_to *to,
                                                    const char *format, ...);

#endif
