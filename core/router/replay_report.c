/* replay_report.c - see replay_report.h. */
/* SPDX-License-Identifier: MIT */
#include "router/replay_report.h"

#include "router/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHOWN 50 /* differences that the text shows; the JSON has all */

/* A part of a key: where it ends, and `*at` behind it. */
static int next_part(const char **at, const char **part)
{
	size_t size = strcspn(*at, (const char[]){REPLAY_MARK, '\0'});
	*part = *at;
	*at += size + ((*at)[size] != '\0');
	return (int)size;
}

static double percent(uint64_t count, uint64_t of)
{
	return of ? 100.0 * (double)count / (double)of : 0;
}

static void print_verdict(const struct tally_entry *e, void *arg)
{
	const struct replay_report *r = arg;
	const char *at = e->key, *verdict, *rule;
	int verdict_size = next_part(&at, &verdict), rule_size = next_part(&at, &rule);
	printf("  %9" PRIu64 "  %5.1f %%  %.*s", e->count, percent(e->count, r->statements),
	       verdict_size, verdict);
	if (rule_size)
		printf("  (rule \"%.*s\")", rule_size, rule);
	putchar('\n');
}

struct listing {
	const struct replay_report *report;
	unsigned shown;
	bool json;
};

static void print_change(const struct tally_entry *e, void *arg)
{
	struct listing *l = arg;
	const char *at = e->key, *fingerprint, *kind, *from, *to;
	int fingerprint_size = next_part(&at, &fingerprint), kind_size = next_part(&at, &kind);
	int from_size = next_part(&at, &from), to_size = next_part(&at, &to);
	if (l->shown++ >= SHOWN)
		return;
	printf("  %9" PRIu64 "  %.*s  %.*s: %.*s -> %.*s\n             %s\n", e->count,
	       fingerprint_size, fingerprint, kind_size, kind, from_size, from, to_size, to,
	       e->sample);
}

static void print_changes(const struct replay_report *r)
{
	struct listing l = {.report = r};
	printf("%" PRIu64 " (%.1f %%) would go elsewhere: %s -> %s\n", r->differing,
	       percent(r->differing, r->statements), r->script, r->against);
	tally_each(r->changes, print_change, &l);
	if (l.shown > SHOWN)
		printf("  and %u kinds more; --json has all\n", l.shown - SHOWN);
	if (tally_others(r->changes))
		printf("  %9" PRIu64 "  others\n", tally_others(r->changes));
}

static void print_count(uint64_t count, const char *what)
{
	if (count)
		printf(", %" PRIu64 " %s", count, what);
}

void replay_report_text(const struct replay_report *r)
{
	printf("%" PRIu64 " statements", r->statements);
	print_count(r->skipped, "records of something else");
	print_count(r->cut, "statements cut short by the log, left out");
	print_count(r->unparsable, "lines that could not be read");
	putchar('\n');
	tally_each(r->verdicts, print_verdict, (void *)r);
	if (tally_others(r->verdicts))
		printf("  %9" PRIu64 "  %5.1f %%  others\n", tally_others(r->verdicts),
		       percent(tally_others(r->verdicts), r->statements));
	if (r->changes)
		print_changes(r);
}

static void put_part(const char *name, const char **at)
{
	const char *part;
	int size = next_part(at, &part);
	printf("\"%s\":", name);
	json_put_string(stdout, part, (size_t)size);
}

static void put_comma(struct listing *l)
{
	if (l->shown++)
		putchar(',');
}

static void put_verdict(const struct tally_entry *e, void *arg)
{
	struct listing *l = arg;
	const char *at = e->key;
	put_comma(l);
	putchar('{');
	put_part("verdict", &at);
	if (*at) {
		putchar(',');
		put_part("rule", &at);
	} else {
		fputs(",\"rule\":null", stdout);
	}
	printf(",\"count\":%" PRIu64 ",\"percent\":%.2f}", e->count,
	       percent(e->count, l->report->statements));
}

static void put_change(const struct tally_entry *e, void *arg)
{
	static const char *const names[] = {"fingerprint", "kind", "from", "to"};
	const char *at = e->key;
	put_comma(arg);
	putchar('{');
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		put_part(names[i], &at);
		putchar(',');
	}
	printf("\"count\":%" PRIu64 ",\"sample\":", e->count);
	json_put_string(stdout, e->sample, strlen(e->sample));
	putchar('}');
}

void replay_report_json(const struct replay_report *r)
{
	struct listing verdicts = {.report = r}, changes = {.report = r};
	printf("{\"statements\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"cut\":%" PRIu64
	       ",\"unparsable\":%" PRIu64 ",\"distribution\":[",
	       r->statements, r->skipped, r->cut, r->unparsable);
	tally_each(r->verdicts, put_verdict, &verdicts);
	printf("],\"others\":%" PRIu64, tally_others(r->verdicts));
	if (r->changes) {
		printf(",\"differing\":%" PRIu64 ",\"differences\":[", r->differing);
		tally_each(r->changes, put_change, &changes);
		printf("],\"other_differences\":%" PRIu64, tally_others(r->changes));
	}
	puts("}");
}
