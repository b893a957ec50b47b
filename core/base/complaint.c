/* complaint.c - see complaint.h. */
/* SPDX-License-Identifier: MIT */
#include "base/complaint.h"
#include "base/plain.h"

#include <stdarg.h>
#include <stdio.h>

bool complain(const struct complaint_to *to, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	plain_vprint(to->text, to->size, format, args);
	va_end(args);
	return false;
}
