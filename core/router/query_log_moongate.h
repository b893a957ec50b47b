/* query_log_moongate.h - the router's own log of statements (log_queries): one line each, at level
 * info, in the form of base/log.h. They hold SQL text, so it is written only where it was asked
 * for. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_QUERY_LOG_MOONGATE_H
#define MOONGATE_ROUTER_QUERY_LOG_MOONGATE_H

#include "base/log.h"
#include "router/query_log.h"

/* The statement is `entry->sql`. `rule` and `endpoint` may be NULL. What is longer than a line of
 * the log may be is cut, and the line says so. */
void query_log_write(const struct log *log, const struct query_log_entry *entry,
                     const char *verdict, const char *rule, const char *endpoint);

/* For query_log_parse(). */
enum query_log_found query_log_parse_moongate(char *record, struct query_log_entry *entry);

#endif
