/* options.h - whether what a program has given is what it may be. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_API_OPTIONS_H
#define MOONGATE_API_OPTIONS_H

#include "base/complaint.h"
#include "moongate.h"

#define MOST_PARAMETERS 65535 /* protocol: an Int16, taken as unsigned */

/* False: it says which field it is, what that may be and what it was. */
bool options_are_right(const struct moongate_options *options, const struct complaint_to *to);
bool statement_is_right(const struct moongate_statement *statement, const struct complaint_to *to);

#endif
