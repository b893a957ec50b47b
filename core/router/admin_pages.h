/* admin_pages.h - the pages of admin.h, each of which answers one request. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_ADMIN_PAGES_H
#define MOONGATE_ROUTER_ADMIN_PAGES_H

#include "router/http.h"

struct worker;

typedef void admin_page(struct worker *worker, const struct http_request *request,
                        struct http_response *response);

/* admin_health.c: whether all databases are connected; whether this serves reads and writes;
 * whether it runs. */
admin_page admin_health, admin_ready, admin_live;

/* metrics.c: all numbers, as Prometheus reads them. */
admin_page admin_metrics;

/* admin_statements.c: what statements have cost. */
admin_page admin_statements;
/* admin_policy.c: how the policies do, which rules decide, where a shadow differs. */
admin_page admin_policy;

/* admin.c's orders: each is done when it is answered. */
admin_page admin_reload;

/* admin_pause.c's: what is under way may take its time after /pause; asked again, it tells. */
admin_page admin_pause, admin_resume;

/* admin_drain.c's: likewise, what is under way may take its time. */
admin_page admin_drain, admin_undrain;

/* An answer that is a JSON object with one text in it. */
void admin_say(struct http_response *response, unsigned status, const char *key, const char *text);

#endif
