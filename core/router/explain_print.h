/* explain_print.h - what `moongate explain` prints of one statement. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_EXPLAIN_PRINT_H
#define MOONGATE_ROUTER_EXPLAIN_PRINT_H

#include "router/trial.h"

/* One JSON object and a newline; or several lines of text. */
void explain_print_json(const char *sql, size_t size, const struct outcome *outcome);
void explain_print_text(const char *sql, size_t size, const struct outcome *outcome);

#endif
