/* explain_print.c - see explain_print.h. */
/* SPDX-License-Identifier: MIT */
#include "router/explain_print.h"

#include "cluster/route_consider.h"
#include "router/json.h"

#include <stdio.h>
#include <string.h>

static size_t pin_names(unsigned pins, const char *names[PIN_KINDS])
{
	size_t count = 0;
	for (unsigned i = 0; i < PIN_KINDS; i++)
		if (pins & 1u << i)
			names[count++] = sql_pin_name((enum pin)(1u << i));
	return count;
}

static const char *intent_name(enum intent intent)
{
	return intent == INTENT_READ ? "read" : "write";
}

static const char *rule_name(const struct outcome *o)
{
	return o->verdict.rule ? o->verdict.rule->name : NULL;
}

static void consider(const struct outcome *o, route_considered_fn *fn, void *arg)
{
	if (o->route)
		route_consider(o->route, &o->demand, o->endpoint, fn, arg);
	else if (o->verdict.kind == VERDICT_ENDPOINT)
		endpoint_consider(o->verdict.endpoint, &o->demand, o->endpoint, fn, arg);
}

static void put_text(const char *text)
{
	if (text)
		json_put_string(stdout, text, strlen(text));
	else
		fputs("null", stdout);
}

static void put_member(const char *name, const char *text)
{
	printf(",\"%s\":", name);
	put_text(text);
}

static void put_list(const char *name, const char *const *items, size_t count)
{
	printf(",\"%s\":[", name);
	for (size_t i = 0; i < count; i++) {
		if (i)
			putchar(',');
		put_text(items[i]);
	}
	putchar(']');
}

static void put_candidate(const struct endpoint *e, bool taken, const char *why, void *arg)
{
	bool *first = arg;
	fputs(*first ? "{\"endpoint\":" : ",{\"endpoint\":", stdout);
	*first = false;
	put_text(e->name);
	printf(",\"taken\":%s", taken ? "true" : "false");
	put_member("why", why);
	putchar('}');
}

/* The verdict and the settings stay last, as they have been from the beginning. */
void explain_print_json(const char *sql, size_t size, const struct outcome *o)
{
	const struct facts *f = &o->facts;
	const char *pins[PIN_KINDS];
	size_t pin_count = pin_names(f->pins, pins);
	bool first = true;
	fputs("{\"sql\":", stdout);
	json_put_string(stdout, sql, size);
	put_member("intent", intent_name(f->intent));
	put_member("kind", sql_kind_name(f->kind));
	put_list("tables", f->tables, f->table_count);
	put_list("functions", f->functions, f->function_count);
	put_list("pins", pins, pin_count);
	put_member("rule", rule_name(o));
	put_member("line", o->line);
	put_member("error", o->error);
	put_member("endpoint", o->endpoint ? o->endpoint->name : NULL);
	fputs(",\"candidates\":[", stdout);
	consider(o, put_candidate, &first);
	putchar(']');
	put_member("verdict", verdict_name(&o->verdict));
	if (f->setting_count)
		put_list("settings", f->settings, f->setting_count);
	puts("}");
}

static void print_names(const char *label, const char *const *items, size_t count)
{
	if (count == 0)
		return;
	printf("  %-9s", label);
	for (size_t i = 0; i < count; i++)
		printf("%s %s", i ? "," : "", items[i]);
	putchar('\n');
}

static void print_line(const char *label, const char *text)
{
	if (text)
		printf("  %-9s %s\n", label, text);
}

static void print_endpoint(const struct outcome *o)
{
	if (o->verdict.kind == VERDICT_REJECT)
		return;
	print_line("endpoint",
	           o->endpoint ? o->endpoint->name : "none now: the query waits for one");
}

static void measure(const struct endpoint *e, bool taken, const char *why, void *arg)
{
	(void)taken;
	(void)why;
	int *width = arg;
	int length = (int)strlen(e->name);
	if (length > *width)
		*width = length;
}

static void print_candidate(const struct endpoint *e, bool taken, const char *why, void *arg)
{
	const int *width = arg;
	printf("    %-*s  %s%s\n", *width, e->name, taken ? "taken: " : "", why);
}

void explain_print_text(const char *sql, size_t size, const struct outcome *o)
{
	const struct facts *f = &o->facts;
	const char *pins[PIN_KINDS];
	size_t pin_count = pin_names(f->pins, pins);
	int width = 0;
	printf("%.*s\n  intent    %s", (int)size, sql, intent_name(f->intent));
	if (f->reason)
		printf(" (%s)", f->reason);
	printf("\n  kind      %s\n", sql_kind_name(f->kind));
	print_names("tables", f->tables, f->table_count);
	print_names("functions", f->functions, f->function_count);
	print_names("pins", pins, pin_count);
	print_names("settings", f->settings, f->setting_count);
	print_line("verdict", verdict_name(&o->verdict));
	print_line("rule", rule_name(o));
	print_line("line", o->line);
	if (o->error)
		printf("  error     %s; the default route decides\n", o->error);
	print_line("but", o->moved);
	print_endpoint(o);
	consider(o, measure, &width);
	consider(o, print_candidate, &width);
}
