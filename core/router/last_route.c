/* last_route.c - see last_route.h. */
/* SPDX-License-Identifier: MIT */
#include "router/last_route.h"

#include "router/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LAST_REJECTED = 1, LAST_FALLBACK = 2, LAST_BOUND = 4 };

void last_route_judged(struct client *c, const struct verdict *v)
{
	c->last = (struct last_route){
	        .route = v->kind == VERDICT_ROUTE ? (uint16_t)route_number(v->route) : 0,
	        .rule = v->rule ? (uint16_t)v->rule->number : 0,
	        .flags = (uint8_t)((v->kind == VERDICT_REJECT ? LAST_REJECTED : 0) |
	                           (v->fallback ? LAST_FALLBACK : 0)),
	};
}

void last_route_sent(struct client *c, const struct endpoint *e, bool bound)
{
	bool known = c->home && e->cluster == c->home->cluster; /* no reload has removed it */
	c->last.endpoint = known ? (uint8_t)(e->index + 1) : 0;
	unsigned kept = c->last.flags & (unsigned)LAST_FALLBACK;
	c->last.flags = (uint8_t)(kept | (bound ? LAST_BOUND : 0));
}

__attribute__((format(printf, 3, 4))) static void add(char *text, size_t size, const char *format,
                                                      ...)
{
	size_t used = strlen(text);
	va_list values;
	va_start(values, format);
	vsnprintf(text + used, size - used, format, values);
	va_end(values);
}

static const char *rule_name(const struct client *c)
{
	for (const struct policy_rule *r = NULL; (r = policy_rule_after(c->home->policy, r));)
		if (r->number == c->last.rule)
			return r->name;
	return NULL;
}

void last_route_text(const struct client *c, char *text, size_t size)
{
	const struct last_route *l = &c->last;
	*text = '\0';
	if (!c->home)
		return;
	const struct cluster *cluster = c->home->cluster;
	const struct route *route = cluster_route(cluster, l->route);
	const char *rule = rule_name(c);
	if (l->flags & LAST_REJECTED)
		add(text, size, " rejected");
	if (route)
		add(text, size, " route=%s", route_name(route));
	if (l->endpoint && l->endpoint <= cluster->endpoint_count)
		add(text, size, " endpoint=%s", cluster->endpoints[l->endpoint - 1]->name);
	if (rule)
		add(text, size, " rule=\"%s\"", rule);
	if (l->flags & LAST_BOUND)
		add(text, size, " bound=yes");
	if (l->flags & LAST_FALLBACK)
		add(text, size, " policy=failed");
	if (*text)
		memmove(text, text + 1, strlen(text));
}
