/* plain.c - see plain.h.
 *
 * The whole "C" locale is there always: asking for it and freeing it allocates nothing. Where the
 * point is one already, which takes half as long to find out, it is not asked for. */
/* SPDX-License-Identifier: MIT */
#include "base/plain.h"

#include <langinfo.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_plain(void)
{
	return strcmp(nl_langinfo(RADIXCHAR), ".") == 0;
}

int plain_vprint(char *out, size_t size, const char *format, va_list values)
{
	if (is_plain())
		return vsnprintf(out, size, format, values);
	locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	locale_t before = uselocale(plain);
	int length = vsnprintf(out, size, format, values);
	uselocale(before);
	freelocale(plain);
	return length;
}

int plain_print(char *out, size_t size, const char *format, ...)
{
	va_list values;
	va_start(values, format);
	int length = plain_vprint(out, size, format, values);
	va_end(values);
	return length;
}

double plain_number(const char *text, char **end)
{
	if (is_plain())
		return strtod(text, end);
	locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	double value = strtod_l(text, end, plain);
	freelocale(plain);
	return value;
}
