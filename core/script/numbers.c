/* numbers.c - see numbers.h.
 *
 * printf() and strtod() take the decimal point of LC_NUMERIC, which an application may set. The
 * whole "C" locale is there always: asking for it and freeing it allocates nothing. */
/* SPDX-License-Identifier: MIT */
#include "script/numbers.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void shortest_text(double value, char *text)
{
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, NUMBER_TEXT, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			return;
	}
}

void number_to_text(double value, char text[NUMBER_TEXT])
{
	if (isnan(value)) {
		snprintf(text, NUMBER_TEXT, "NaN");
	} else if (isinf(value)) {
		snprintf(text, NUMBER_TEXT, value > 0 ? "Infinity" : "-Infinity");
	} else {
		locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
		locale_t before = uselocale(plain);
		shortest_text(value, text);
		uselocale(before);
		freelocale(plain);
	}
}

double number_from_text(const char *text)
{
	if (strcmp(nl_langinfo(RADIXCHAR), ".") == 0) /* half as long as what follows */
		return strtod(text, NULL);
	locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	double value = strtod_l(text, NULL, plain);
	freelocale(plain);
	return value;
}
