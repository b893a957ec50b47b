/* numbers.c - see numbers.h. */
/* SPDX-License-Identifier: MIT */
#include "script/numbers.h"

#include "base/plain.h"

#include <math.h>
#include <stdio.h>

static void shortest_text(double value, char *text)
{
	for (int digits = 15; digits <= 17; digits++) {
		plain_print(text, NUMBER_TEXT, "%.*g", digits, value);
		if (plain_number(text, NULL) == value)
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
		shortest_text(value, text);
	}
}

double number_from_text(const char *text)
{
	return plain_number(text, NULL);
}
