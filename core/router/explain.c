/* explain.c - see explain.h. */
/* SPDX-License-Identifier: MIT */
#include "router/explain.h"

#include "base/buffer.h"
#include "cluster/patroni.h"
#include "router/explain_print.h"
#include "router/json.h"
#include "sql/split.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct explain {
	struct trial trial;
	struct session_facts session;
	bool json;
};

/* False: out of memory. */
static bool explain_one(struct explain *e, const char *sql, size_t size)
{
	struct outcome outcome;
	if (!trial_ask(&e->trial, sql, size, &e->session, &outcome))
		return false;
	if (e->json)
		explain_print_json(sql, size, &outcome);
	else
		explain_print_text(sql, size, &outcome);
	return true;
}

static int fail(const char *what)
{
	fprintf(stderr, "moongate: %s\n", what);
	return 1;
}

/* The whole of a file, with a NUL behind it. NULL: errno says why. */
static char *read_all(const char *path, size_t *size)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	struct buffer all = {0};
	char *text = NULL, part[16384];
	size_t n;
	if (!file)
		return NULL;
	while ((n = fread(part, 1, sizeof part, file)) > 0)
		if (buffer_append(&all, part, n) != ST_OK)
			break;
	if (!ferror(file) && feof(file))
		text = malloc(buffer_size(&all) + 1);
	if (text) {
		*size = buffer_size(&all);
		if (*size)
			memcpy(text, buffer_data(&all), *size);
		text[*size] = '\0';
	}
	buffer_free(&all);
	if (file != stdin)
		fclose(file);
	return text;
}

static int explain_script(struct explain *e, char *text, size_t size)
{
	size_t start, length, used;
	while ((used = sql_split(text, size, true, &start, &length)) > 0) {
		char kept = text[start + length];
		text[start + length] = '\0';
		if (!explain_one(e, text + start, length))
			return fail("out of memory");
		text[start + length] = kept;
		text += used;
		size -= used;
	}
	return 0;
}

static int explain_lines(struct explain *e, char *text)
{
	int number = 0;
	for (char *line = text, *end; *line; line = end) {
		size_t length = strcspn(line, "\n"), size;
		const char *wrong;
		end = line + length + (line[length] == '\n');
		line[length] = '\0';
		number++;
		if (line[strspn(line, " \t\r")] == '\0')
			continue;
		char *sql = json_get_string(line, "sql", &size, &wrong);
		if (!sql) {
			fprintf(stderr, "moongate: line %d: %s\n", number, wrong);
			return 1;
		}
		if (!explain_one(e, sql, size))
			return fail("out of memory");
	}
	return 0;
}

static int explain_input(struct explain *e, const struct explain_options *what)
{
	size_t size = what->sql ? strlen(what->sql) : 0;
	char *text = what->sql ? strdup(what->sql) : read_all(what->file, &size);
	if (!text) {
		fprintf(stderr, "moongate: %s: %s\n", what->sql ? "-c" : what->file,
		        strerror(errno));
		return 1;
	}
	int status = what->json_input ? explain_lines(e, text) : explain_script(e, text, size);
	free(text);
	return status;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

int explain_run(struct context *context, const char *path, const struct script_options *options,
                const struct explain_options *what)
{
	char error[1024];
	const struct situation *s = &what->situation;
	struct explain e = {.session = {.user = or_empty(s->user),
	                                .database = or_empty(s->database),
	                                .application_name = s->application,
	                                .address = or_empty(s->address)},
	                    .json = what->json_output};
	int status = trial_begin(&e.trial, context, path, options, s, error, sizeof error);
	if (status != 0) {
		fail(error);
	} else {
		policy_trace(e.trial.home->policy, true);
		status = explain_input(&e, what);
	}
	trial_end(&e.trial);
	return status;
}

int explain_check(struct context *context, const char *path, const struct script_options *options)
{
	char error[1024];
	struct script *script = script_load(context, path, options, error, sizeof error);
	if (!script)
		return fail(error);
	printf("%s: ok\n  listen    %s\n", path, script_listen(script));
	if (script_admin(script))
		printf("  admin     %s\n", script_admin(script));
	for (size_t i = 0; i < script_cluster_count(script); i++) {
		const struct script_cluster *home = script_cluster_at(script, i);
		printf("  database  %s\n", home->database);
		if (policy_examples(home->policy))
			printf("    examples  %u passed\n", policy_examples(home->policy));
		if (home->cluster->patroni)
			printf("    members of the Patroni cluster at %s\n",
			       patroni_place(home->cluster->patroni));
		for (size_t k = 0; k < home->cluster->endpoint_count; k++) {
			const struct endpoint *e = home->cluster->endpoints[k];
			printf("    %-8s  %s weight %g%s%s\n", role_name(e->role), e->name,
			       e->weight, e->region ? " region " : "", e->region ? e->region : "");
		}
	}
	script_free(script);
	return 0;
}
