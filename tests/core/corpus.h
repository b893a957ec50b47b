/* corpus.h - reads tests/core/corpus/: statements and what is to be said of them.
 *
 * A record is a line `= intent kind [tables=a,b] [functions=f] [pins=p] [settings=s] [name=n]
 * [effects=e] [strings=off]`, then the statement up to an empty line. Lines that begin with '#',
 * before a record, are comments. Of names in a list only the comma is special. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_TESTS_CORPUS_H
#define MOONGATE_TESTS_CORPUS_H

#include "sql/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CORPUS_ROOM 1024

struct record {
	char expected[1024]; /* without "= " and strings=off */
	char *sql;
	size_t size;
	bool standard_strings;
	const char *file;
	unsigned line;
};

struct corpus {
	struct record records[CORPUS_ROOM];
	size_t count;
};

static void corpus_begin(struct record *r, const char *line)
{
	static const char off[] = " strings=off";
	memcpy(r->expected, line + 2, strlen(line + 2) + 1);
	r->expected[strcspn(r->expected, "\n")] = '\0';
	char *found = strstr(r->expected, off);
	r->standard_strings = !found;
	if (found)
		memmove(found, found + strlen(off), strlen(found + strlen(off)) + 1);
	r->sql = calloc(1, 1);
	r->size = 0;
}

static void corpus_append(struct record *r, const char *line)
{
	size_t size = strlen(line);
	r->sql = realloc(r->sql, r->size + size + 1);
	memcpy(r->sql + r->size, line, size + 1);
	r->size += size;
}

/* False when there is no such file: the tests run from the top of the repository. */
static inline bool corpus_read(struct corpus *corpus, const char *name)
{
	char path[256], line[1024];
	snprintf(path, sizeof(path), "tests/core/corpus/%s.txt", name);
	FILE *file = fopen(path, "r");
	struct record *r = NULL;
	for (unsigned number = 1; file && fgets(line, sizeof(line), file); number++) {
		if (r && line[0] == '\n' && r->size) {
			r->sql[--r->size] = '\0';
			r = NULL;
		} else if (r && (line[0] != '\n' || r->size)) {
			corpus_append(r, line);
		} else if (r) {
			r = NULL; /* the empty statement */
		} else if (line[0] == '=' && corpus->count < CORPUS_ROOM) {
			r = &corpus->records[corpus->count++];
			r->file = name;
			r->line = number;
			corpus_begin(r, line);
		}
	}
	if (r && r->size)
		r->sql[--r->size] = '\0';
	if (file)
		fclose(file);
	return file;
}

static inline void corpus_free(struct corpus *corpus)
{
	for (size_t i = 0; i < corpus->count; i++)
		free(corpus->records[i].sql);
}

static const char *const corpus_effects[] = {
        "begin",         "end",        "read_only",       "read_write", "serializable", "locking",
        "modifying_cte", "into",       "explain_analyze", "copy_in",    "copy_out",     "copy_file",
        "copy_program",  "ddl",        "unpin_all",       "volatile",   "node",         "reset",
        "reset_all",     "repeatable", "deferrable",      "lazy",       "savepoint",    "chain",
        "unpins",        "may_pin",    "sequence"};
#define CORPUS_EFFECTS (sizeof(corpus_effects) / sizeof(corpus_effects[0]))

static inline void corpus_put(FILE *out, const char *key, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fprintf(out, "%s%s", i ? "," : key, names[i]);
}

/* As a record's first line has it; `effects` only where that mentions them. */
static inline void corpus_describe(const struct facts *f, const char *expected, char *out,
                                   size_t size)
{
	const char *pins[PIN_KINDS], *effects[CORPUS_EFFECTS];
	size_t pin_count = 0, effect_count = 0;
	for (unsigned i = 0; i < PIN_KINDS; i++)
		if (f->pins & (1u << i))
			pins[pin_count++] = sql_pin_name((enum pin)(1u << i));
	for (unsigned i = 0; i < CORPUS_EFFECTS; i++)
		if (f->effects & (1u << i))
			effects[effect_count++] = corpus_effects[i];
	FILE *to = fmemopen(out, size, "w");
	fprintf(to, "%s %s", f->intent == INTENT_READ ? "read" : "write", sql_kind_name(f->kind));
	corpus_put(to, " tables=", f->tables, f->table_count);
	corpus_put(to, " functions=", f->functions, f->function_count);
	corpus_put(to, " pins=", pins, pin_count);
	corpus_put(to, " settings=", f->settings, f->setting_count);
	corpus_put(to, " name=", &f->name, f->name ? 1 : 0);
	if (strstr(expected, " effects="))
		corpus_put(to, " effects=", effects, effect_count);
	fclose(to);
}

#endif
