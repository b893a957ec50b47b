/* settings.c - see settings.h. */
/* SPDX-License-Identifier: MIT */
#include "router/settings.h"

#include "sql/hash.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 256 /* settings of one session */

struct pair {
	const char *name, *value;
};

struct pairs {
	struct pair items[NAMES_MAX];
	size_t count;
};

/* Settings that change nothing of what a text parses to: statements prepared under different values
 * are the same. */
static bool harmless(const char *name)
{
	static const char *const names[] = {
	        "application_name",     "deadlock_timeout",   "idle_in_transaction_session_timeout",
	        "idle_session_timeout", "lock_timeout",       "maintenance_work_mem",
	        "statement_timeout",    "synchronous_commit", "work_mem",
	        "client_min_messages"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return strchr(name, '.') != NULL;
}

/* Encodings whose characters may hold a quote or a backslash as their second byte: only clients use
 * them (PostgreSQL, 24.3.1), and the lexer would read such a character as the end of a string. */
static bool hides_quotes(const char *encoding)
{
	static const char *const names[] = {"BIG5",   "GB18030",        "GBK",       "JOHAB",
	                                    "SJIS",   "SHIFT_JIS_2004", "SHIFT_JIS", "MSKANJI",
	                                    "WIN932", "WINDOWS932",     "SHIFTJIS",  "UHC",
	                                    "WIN949", "WINDOWS949",     "WIN950",    "WINDOWS950",
	                                    "WIN936", "WINDOWS936",     "SJIS2004"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcasecmp(names[i], encoding) == 0)
			return true;
	return false;
}

/* As PostgreSQL's parse_bool() reads it, which takes any unambiguous beginning. */
static bool means_off(const char *value)
{
	static const char *const words[] = {"off", "of", "false", "fals", "fal",
	                                    "fa",  "f",  "no",    "n",    "0"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcasecmp(words[i], value) == 0)
			return true;
	return false;
}

bool settings_next(const struct settings *s, size_t *at, const char **name, const char **value)
{
	if (*at >= s->size)
		return false;
	*name = s->block + *at;
	*value = *name + strlen(*name) + 1;
	*at += strlen(*name) + 1 + strlen(*value) + 1;
	return true;
}

const char *settings_get(const struct settings *s, const char *name)
{
	const char *each, *value;
	size_t at = 0;
	while (settings_next(s, &at, &each, &value))
		if (strcmp(each, name) == 0)
			return value;
	return NULL;
}

static void derive(struct settings *s)
{
	const char *name, *value;
	size_t at = 0;
	s->application_name = settings_get(s, "application_name");
	s->standard_strings = true;
	s->parse_key = 0;
	while (settings_next(s, &at, &name, &value)) {
		if (!harmless(name))
			s->parse_key = XXH3_64bits_withSeed(name, strlen(name) + strlen(value) + 1,
			                                    s->parse_key + 1);
		if (strcmp(name, "standard_conforming_strings") == 0)
			s->standard_strings = !means_off(value);
		else if (strcmp(name, "client_encoding") == 0)
			s->unreadable = hides_quotes(value);
		else if (strcmp(name, "search_path") == 0)
			s->temporary = strstr(value, "pg_temp") != NULL;
		else if (strcmp(name, "default_transaction_isolation") == 0)
			s->serializable = strcasecmp(value, "serializable") == 0;
		else if (strcmp(name, "default_transaction_read_only") == 0)
			s->read_only = !means_off(value);
	}
}

static size_t pair_size(const struct pair *p)
{
	return strlen(p->name) + 1 + strlen(p->value) + 1;
}

static struct settings *make(struct settings_table *table, const struct pairs *pairs)
{
	size_t size = 0;
	for (size_t i = 0; i < pairs->count; i++)
		size += pair_size(&pairs->items[i]);
	struct settings *s = calloc(1, sizeof *s + size), *known = NULL;
	if (!s)
		return NULL;
	char *to = s->block;
	for (size_t i = 0; i < pairs->count; i++) {
		to = stpcpy(to, pairs->items[i].name) + 1;
		to = stpcpy(to, pairs->items[i].value) + 1;
	}
	s->table = table;
	s->size = size;
	s->refs = 1;
	HASH_FIND(hh, table->sets, s->block, size, known);
	if (known) {
		free(s);
		return settings_ref(known);
	}
	derive(s);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): uthash */
	HASH_ADD(hh, table->sets, block, size, s);
	return s;
}

struct settings *settings_empty(struct settings_table *table)
{
	const struct pairs none = {.count = 0};
	return make(table, &none);
}

struct settings *settings_ref(struct settings *s)
{
	s->refs++;
	return s;
}

void settings_unref(struct settings *s)
{
	if (!s || --s->refs > 0)
		return;
	HASH_DEL(s->table->sets, s);
	free(s);
}

/* Keeps the order of names; the last value of a name counts. False: too many. */
static bool put(struct pairs *p, const char *name, const char *value)
{
	size_t i = 0;
	while (i < p->count && strcmp(p->items[i].name, name) < 0)
		i++;
	bool there = i < p->count && strcmp(p->items[i].name, name) == 0;
	if (!value) {
		if (there) {
			memmove(&p->items[i], &p->items[i + 1],
			        (p->count - i - 1) * sizeof *p->items);
			p->count--;
		}
		return true;
	}
	if (!there) {
		if (p->count == NAMES_MAX)
			return false;
		memmove(&p->items[i + 1], &p->items[i], (p->count - i) * sizeof *p->items);
		p->count++;
	}
	p->items[i] = (struct pair){name, value};
	return true;
}

struct settings *settings_with(struct settings *s, const struct setting_change *changes,
                               size_t count)
{
	struct pairs pairs = {.count = 0};
	const char *name, *value;
	for (size_t at = 0; settings_next(s, &at, &name, &value);)
		put(&pairs, name, value);
	for (size_t i = 0; i < count; i++)
		if (!put(&pairs, changes[i].name, changes[i].value))
			return NULL;
	return make(s->table, &pairs);
}

/* One word of `options`: white space parts words, a backslash keeps the next character
 * (pg_split_opts() of PostgreSQL's postinit.c). */
static bool next_word(const char **at, char *word)
{
	while (isspace((unsigned char)**at))
		++*at;
	if (!**at)
		return false;
	while (**at && !isspace((unsigned char)**at)) {
		if (**at == '\\' && (*at)[1])
			++*at;
		*word++ = *(*at)++;
	}
	*word = '\0';
	return true;
}

/* Where the strings of a startup packet are kept until the set is made. */
struct reading {
	struct pairs pairs;
	char *space, *free;
};

static enum status take_setting(struct reading *r, const char *name, const char *value)
{
	char *lower = r->free;
	for (; *name; name++)
		*r->free++ = (char)tolower((unsigned char)*name);
	*r->free++ = '\0';
	const char *copy = r->free;
	r->free = stpcpy(r->free, value) + 1;
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): all of it is freed by r->space */
	return put(&r->pairs, lower, copy) ? ST_OK : ST_ECLIENT;
}

static enum status take_assignment(struct reading *r, char *assignment)
{
	char *equals = strchr(assignment, '=');
	if (!equals || equals == assignment)
		return ST_ECLIENT;
	*equals = '\0';
	for (char *c = assignment; *c; c++)
		if (*c == '-')
			*c = '_';
	return take_setting(r, assignment, equals + 1);
}

static enum status take_options(struct reading *r, const char *options)
{
	char *word = calloc(1, strlen(options) + 1);
	enum status status = word ? ST_OK : ST_ENOMEM;
	while (status == ST_OK && next_word(&options, word)) {
		bool is_c = strncmp(word, "-c", 2) == 0;
		if (is_c && !word[2])
			status = next_word(&options, word) ? take_assignment(r, word) : ST_ECLIENT;
		else if (is_c || strncmp(word, "--", 2) == 0)
			status = take_assignment(r, word + 2);
		else
			status = ST_ECLIENT;
	}
	free(word);
	return status;
}

static bool is_setting(const char *name)
{
	return strcmp(name, "user") != 0 && strcmp(name, "database") != 0 &&
	       strcmp(name, "replication") != 0 && strncmp(name, "_pq_.", 5) != 0;
}

/* `options` come first: what the packet says of a setting by its name wins, as in PostgreSQL. */
static enum status take_all(struct reading *r, const struct startup *startup)
{
	enum status status = ST_OK;
	const char *name, *value;
	for (const char *at = startup->parameters;
	     status == ST_OK && startup_next(&at, &name, &value);)
		if (strcmp(name, "options") == 0)
			status = take_options(r, value);
	for (const char *at = startup->parameters;
	     status == ST_OK && startup_next(&at, &name, &value);)
		if (is_setting(name) && strcmp(name, "options") != 0)
			status = take_setting(r, name, value);
	return status;
}

enum status settings_read(struct settings_table *table, const struct startup *startup,
                          struct settings **made)
{
	struct reading r = {.pairs = {.count = 0}};
	*made = NULL;
	r.space = r.free = malloc(2 * STARTUP_MAX);
	if (!r.space)
		return ST_ENOMEM;
	enum status status = take_all(&r, startup);
	if (status == ST_OK) {
		*made = make(table, &r.pairs);
		status = *made ? ST_OK : ST_ENOMEM;
	}
	free(r.space);
	return status;
}
