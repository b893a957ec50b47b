/* numbers.h - numbers as PostgreSQL writes and reads them, whatever the process's locale says. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_NUMBERS_H
#define MOONGATE_SCRIPT_NUMBERS_H

#define NUMBER_TEXT 40 /* bytes that a text takes at most */

/* The shortest text that means this number: 0.1 is "0.1"; NaN, Infinity and -Infinity, too. */
void number_to_text(double value, char text[NUMBER_TEXT]);

/* Of what PostgreSQL writes for float4, float8 and numeric. */
double number_from_text(const char *text);

#endif
