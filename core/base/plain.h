/* plain.h - numbers in texts, with a point and no other, whatever the process's locale says: an
 * application may have set LC_NUMERIC. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_BASE_PLAIN_H
#define MOONGATE_BASE_PLAIN_H

#include <stdarg.h>
#include <stddef.h>

/* As snprintf() and vsnprintf(). */
__attribute__((format(printf, 3, 4))) int plain_print(char *out, size_t size, const char *format,
                                                      ...);
__attribute__((format(printf, 3, 0))) int plain_vprint(char *out, size_t size, const char *format,
                                                       va_list values);

/* As strtod(). */
double plain_number(const char *text, char **end);

#endif
