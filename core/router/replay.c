/* replay.c - see replay.h. */
/* SPDX-License-Identifier: MIT */
#include "router/replay.h"

#include "cluster/route_consider.h"
#include "router/replay_report.h"
#include "router/usage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_MOST ((size_t)16 << 20) /* bytes of one record; what is longer is none */

struct replay {
	const struct replay_options *what;
	enum query_log_format format;
	bool has_format;
	FILE *file;
	char *line; /* getline()'s */
	size_t line_room;
	char *record; /* the lines of one record, so far */
	size_t size, room;
	bool open; /* it goes on in the next line */
	struct trial first, other;
	struct replay_report report;
};

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "moongate: %s%s%s\n", what, why ? ": " : "", why ? why : "");
	return 1;
}

/* What one script says: a verdict and a rule, for a key. */
struct said {
	char verdict[400], rule[POLICY_RULE_NAME];
	const struct route *route; /* NULL: none */
	const char *kind;
	uint64_t fingerprint;
};

static const char *or_else(const char *said, const char *otherwise)
{
	return said ? said : otherwise;
}

/* What the command line says counts over what the log says. */
static struct session_facts session_of(const struct replay *r, const struct query_log_entry *e)
{
	const struct situation *s = &r->what->situation;
	return (struct session_facts){.user = or_else(s->user, e->user),
	                              .database = or_else(s->database, e->database),
	                              .application_name = or_else(s->application, e->application),
	                              .address = or_else(s->address, e->address)};
}

/* False: out of memory. */
static bool ask(const struct replay *r, struct trial *t, const struct query_log_entry *e,
                struct said *a)
{
	struct outcome o;
	struct session_facts session = session_of(r, e);
	*a = (struct said){.kind = ""};
	if (!trial_move(t, session.database)) {
		snprintf(a->verdict, sizeof a->verdict, "no cluster serves the database \"%.200s\"",
		         session.database);
		return true;
	}
	bool fine = trial_ask(t, e->sql, e->size, &session, &o);
	if (fine) {
		snprintf(a->verdict, sizeof a->verdict, "%s%s", verdict_name(&o.verdict),
		         o.error ? " (the policy failed)" : "");
		snprintf(a->rule, sizeof a->rule, "%s", o.verdict.rule ? o.verdict.rule->name : "");
		a->route = o.verdict.kind == VERDICT_ROUTE ? o.verdict.route : NULL;
		a->kind = sql_kind_name(o.facts.kind);
		a->fingerprint = o.facts.fingerprint;
	}
	policy_session_end(t->home->policy, &session);
	return fine;
}

/* Routes of two scripts may well have two names and lead to the same endpoints. */
static bool is_same(const struct said *a, const struct said *b)
{
	if (a->route && b->route)
		return route_leads_alike(a->route, b->route);
	return strcmp(a->verdict, b->verdict) == 0;
}

static bool compare(struct replay *r, const struct query_log_entry *e, const struct said *first)
{
	struct said other;
	char key[TALLY_KEY];
	if (!ask(r, &r->other, e, &other))
		return false;
	if (is_same(first, &other))
		return true;
	r->report.differing++;
	snprintf(key, sizeof key, "%016" PRIx64 "%c%s%c%s%c%s", first->fingerprint, REPLAY_MARK,
	         first->kind, REPLAY_MARK, first->verdict, REPLAY_MARK, other.verdict);
	return tally_add(r->report.changes, key, e->sql);
}

static bool take_statement(struct replay *r, const struct query_log_entry *e)
{
	struct said answer;
	char key[TALLY_KEY];
	r->report.statements++;
	if (!ask(r, &r->first, e, &answer))
		return false;
	snprintf(key, sizeof key, "%s%c%s", answer.verdict, REPLAY_MARK, answer.rule);
	if (!tally_add(r->report.verdicts, key, NULL))
		return false;
	return !r->report.changes || compare(r, e, &answer);
}

/* What has been gathered is a record, or none. False: out of memory. */
static bool take_record(struct replay *r)
{
	struct query_log_entry entry;
	size_t size = r->size;
	r->size = 0;
	if (size == 0)
		return true;
	switch (query_log_parse(r->format, r->record, size, &entry)) {
	case QUERY_LOG_STATEMENT:
		return take_statement(r, &entry);
	case QUERY_LOG_OTHER:
		r->report.skipped++;
		break;
	case QUERY_LOG_CUT:
		r->report.cut++;
		break;
	case QUERY_LOG_BAD:
		r->report.unparsable++;
		break;
	}
	return true;
}

static bool gather(struct replay *r, size_t size)
{
	if (r->size + size + 1 > r->room) {
		size_t room = 2 * (r->size + size + 1);
		char *more = realloc(r->record, room);
		if (!more)
			return false;
		r->record = more;
		r->room = room;
	}
	memcpy(r->record + r->size, r->line, size + 1);
	r->size += size;
	return true;
}

/* A record that was torn, or that never ends, is over with the next one's beginning. */
static bool is_torn(const struct replay *r)
{
	return r->size > 0 && (r->size > RECORD_MOST || query_log_begins(r->format, r->line));
}

static bool take_line(struct replay *r, size_t size)
{
	if (is_torn(r)) {
		r->report.unparsable++;
		r->size = 0;
		r->open = false;
	}
	if (!gather(r, size))
		return false;
	r->open = query_log_goes_on(r->format, r->line, size, r->open);
	return r->open || take_record(r);
}

static bool is_blank(const char *line)
{
	return line[strspn(line, " \t\r\n")] == '\0';
}

/* Returns the exit status. */
static int read_log(struct replay *r)
{
	ssize_t size;
	while ((size = getline(&r->line, &r->line_room, r->file)) > 0) {
		if (r->size == 0 && is_blank(r->line))
			continue;
		if (!r->has_format && !query_log_guess(r->line, &r->format))
			return usage_refuse("the log looks like none of csvlog, jsonlog or "
			                    "moongate's own; --format says which it is");
		r->has_format = true;
		if (!take_line(r, (size_t)size))
			return fail("out of memory", NULL);
	}
	if (ferror(r->file))
		return fail(r->what->log, strerror(errno));
	if (!take_record(r))
		return fail("out of memory", NULL);
	return 0;
}

static int begin(struct replay *r, struct context *context, const char *script,
                 const struct script_options *options)
{
	char error[1024] = "";
	const struct situation *s = &r->what->situation;
	int status = trial_begin(&r->first, context, script, options, s, error, sizeof error);
	if (status == 0 && r->what->against)
		status = trial_begin(&r->other, context, r->what->against, options, s, error,
		                     sizeof error);
	if (status != 0) {
		fail(error, NULL);
		return status;
	}
	r->report.verdicts = tally_new();
	r->report.changes = r->what->against ? tally_new() : NULL;
	if (!r->report.verdicts || (r->what->against && !r->report.changes))
		return fail("out of memory", NULL);
	r->file = strcmp(r->what->log, "-") == 0 ? stdin : fopen(r->what->log, "rb");
	return r->file ? 0 : fail(r->what->log, strerror(errno));
}

static int conclude(const struct replay *r)
{
	if (r->report.statements == 0) {
		fprintf(stderr,
		        "moongate: %s: no statement was found in %" PRIu64 " records, and %" PRIu64
		        " lines could not be read as %s\n",
		        r->what->log, r->report.skipped + r->report.cut, r->report.unparsable,
		        query_log_formats[r->format]);
		return 1;
	}
	if (r->what->json_output)
		replay_report_json(&r->report);
	else
		replay_report_text(&r->report);
	return 0;
}

int replay_run(struct context *context, const char *script, const struct script_options *options,
               const struct replay_options *what)
{
	struct replay r = {.what = what,
	                   .format = what->format,
	                   .has_format = what->has_format,
	                   .report = {.script = script, .against = what->against}};
	int status = begin(&r, context, script, options);
	if (status == 0)
		status = read_log(&r);
	if (status == 0)
		status = conclude(&r);
	if (r.file && r.file != stdin)
		fclose(r.file);
	free(r.line);
	free(r.record);
	tally_free(r.report.verdicts);
	tally_free(r.report.changes);
	trial_end(&r.first);
	trial_end(&r.other);
	return status;
}
