/* metrics.h - Prometheus's text format 0.0.4, and who else writes to /metrics. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_METRICS_H
#define MOONGATE_ROUTER_METRICS_H

#include "script/script.h"

#include <stdio.h>

#define GAUGE   "gauge"
#define COUNTER "counter"
#define SUMMARY "summary"

/* What comes ahead of all samples of one name, which is given without "moongate_". */
void metrics_head(FILE *out, const char *name, const char *type, const char *help);

/* A sample's end: its value. */
void metrics_value(FILE *out, double value);

/* name="text" */
void metrics_label(FILE *out, const char *name, const char *text);

/* A sample's beginning: its name and the labels `cluster` and `endpoint`, without the last brace.
 */
void metrics_names(FILE *out, const char *name, const struct script_cluster *cluster,
                   const struct endpoint *endpoint);

/* metrics_policies.c: rules, copies of reads, shadows. */
void metrics_policies(FILE *out, const struct script *script);

/* metrics_statements.c: what statements have cost. */
void metrics_statements(FILE *out, const struct script *script);

#endif
