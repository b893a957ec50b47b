/* explain.c - see explain.h. */
/* SPDX-License-Identifier: MIT */
#include "router/explain.h"

#include "base/buffer.h"
#include "cluster/patroni.h"
#include "router/json.h"
#include "sql/classifier.h"
#include "sql/split.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct explain {
	struct classifier *classifier;
	const struct script_cluster *home;
	struct session_facts session;
	bool json;
};

static void put_list(const char *name, const char *const *items, size_t count)
{
	printf(",\"%s\":[", name);
	for (size_t i = 0; i < count; i++) {
		if (i)
			putchar(',');
		json_put_string(stdout, items[i], strlen(items[i]));
	}
	putchar(']');
}

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

static void print_json(const char *sql, size_t size, const struct facts *f, const char *verdict)
{
	const char *pins[PIN_KINDS];
	size_t pin_count = pin_names(f->pins, pins);
	fputs("{\"sql\":", stdout);
	json_put_string(stdout, sql, size);
	printf(",\"intent\":\"%s\",\"kind\":\"%s\"", intent_name(f->intent),
	       sql_kind_name(f->kind));
	put_list("tables", f->tables, f->table_count);
	put_list("functions", f->functions, f->function_count);
	put_list("pins", pins, pin_count);
	fputs(",\"verdict\":", stdout);
	json_put_string(stdout, verdict, strlen(verdict));
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

static void print_text(const char *sql, size_t size, const struct facts *f, const char *verdict)
{
	const char *pins[PIN_KINDS];
	size_t pin_count = pin_names(f->pins, pins);
	printf("%.*s\n  intent    %s", (int)size, sql, intent_name(f->intent));
	if (f->reason)
		printf(" (%s)", f->reason);
	printf("\n  kind      %s\n", sql_kind_name(f->kind));
	print_names("tables", f->tables, f->table_count);
	print_names("functions", f->functions, f->function_count);
	print_names("pins", pins, pin_count);
	print_names("settings", f->settings, f->setting_count);
	printf("  verdict   %s\n", verdict);
}

static void explain_one(struct explain *e, const char *sql, size_t size)
{
	const struct facts *facts = classifier_facts(
	        e->classifier, catalogs_said(e->home->cluster->catalogs), sql, size, true);
	const struct query query = {.facts = facts,
	                            .sql = sql,
	                            .sql_size = size,
	                            .standard_strings = true,
	                            .session = &e->session};
	struct verdict verdict = policy_route(e->home->policy, &query);
	if (e->json)
		print_json(sql, size, facts, verdict_name(&verdict));
	else
		print_text(sql, size, facts, verdict_name(&verdict));
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

static void explain_script(struct explain *e, char *text, size_t size)
{
	size_t start, length, used;
	while ((used = sql_split(text, size, true, &start, &length)) > 0) {
		char kept = text[start + length];
		text[start + length] = '\0';
		explain_one(e, text + start, length);
		text[start + length] = kept;
		text += used;
		size -= used;
	}
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
		explain_one(e, sql, size);
	}
	return 0;
}

static int explain_input(struct explain *e, const struct explain_options *what)
{
	size_t size = what->sql ? strlen(what->sql) : 0;
	char *text = what->sql ? strdup(what->sql) : read_all(what->file, &size);
	int status = 0;
	if (!text) {
		fprintf(stderr, "moongate: %s: %s\n", what->sql ? "-c" : what->file,
		        strerror(errno));
		return 1;
	}
	if (what->json_input)
		status = explain_lines(e, text);
	else
		explain_script(e, text, size);
	free(text);
	return status;
}

int explain_run(struct context *context, const char *path, const struct script_options *options,
                const struct explain_options *what)
{
	char error[1024];
	int status = 1;
	struct script *script = script_load(context, path, options, error, sizeof error);
	struct explain e = {.classifier = classifier_new(1000),
	                    .session = {.user = "", .database = "", .address = ""},
	                    .json = what->json_output};
	if (!script)
		fail(error);
	else if (!e.classifier)
		fail("out of memory");
	else {
		e.home = script_cluster(script, "*");
		if (!e.home)
			e.home = script_cluster_at(script, 0);
		status = explain_input(&e, what);
	}
	classifier_free(e.classifier);
	script_free(script);
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
