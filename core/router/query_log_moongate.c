/* query_log_moongate.c - see query_log_moongate.h. */
/* SPDX-License-Identifier: MIT */
#include "router/query_log_moongate.h"

#include <string.h>

#define MESSAGE "query" /* what tells these lines from others */

void query_log_write(const struct log *log, const struct query_log_entry *e, const char *verdict,
                     const char *rule, const char *endpoint)
{
	struct log_field cut = LOG_N("cut_from", e->size);
	if (e->size <= LOG_LONG_BYTES)
		cut = (struct log_field){.type = LOG_END};
	log_info(log, MESSAGE, LOG_T("user", e->user), LOG_T("database", e->database),
	         LOG_T("application", e->application), LOG_T("address", e->address),
	         LOG_T("verdict", verdict), LOG_T("rule", rule), LOG_T("endpoint", endpoint),
	         LOG_L("sql", e->sql), cut);
}

struct pair {
	const char *key;
	char *value;
	size_t size;
};

/* A quoted value in place, from behind its quote; where it goes on behind it, or NULL. */
static char *take_quoted(char *at, struct pair *p)
{
	char *to = p->value = at;
	for (; *at && *at != '"'; at++) {
		if (*at != '\\') {
			*to++ = *at;
			continue;
		}
		if (!*++at)
			return NULL;
		*to++ = *at == 'n' ? '\n' : *at;
	}
	if (!*at++)
		return NULL;
	p->size = (size_t)(to - p->value);
	*to = '\0';
	return at;
}

static char *take_plain(char *at, struct pair *p)
{
	p->value = at;
	p->size = strcspn(at, " \"=");
	return at + p->size;
}

/* Where it goes on behind a pair and the space after it, "" at the end; NULL: there is none. */
static char *take_pair(char *at, struct pair *p)
{
	size_t length = strcspn(at, " \"=");
	if (length == 0 || at[length] != '=')
		return NULL;
	p->key = at;
	at[length] = '\0';
	at += length + 1;
	at = *at == '"' ? take_quoted(at + 1, p) : take_plain(at, p);
	if (!at || (*at && *at != ' '))
		return NULL;
	bool more = *at == ' ';
	*at = '\0';
	return at + more;
}

static void note(const struct pair *p, struct query_log_entry *e)
{
	const struct {
		const char *key;
		const char **value;
	} known[] = {{"user", &e->user},
	             {"database", &e->database},
	             {"application", &e->application},
	             {"address", &e->address}};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(p->key, known[i].key) == 0)
			*known[i].value = p->value;
	if (strcmp(p->key, "sql") == 0) {
		e->sql = p->value;
		e->size = p->size;
	}
}

enum query_log_found query_log_parse_moongate(char *record, struct query_log_entry *e)
{
	bool is_query = false, is_cut = false, has_sql = false;
	struct pair p = {0};
	char *at = record;
	while (*at) {
		at = take_pair(at, &p);
		if (!at)
			return QUERY_LOG_BAD;
		is_query |= strcmp(p.key, "msg") == 0 && strcmp(p.value, MESSAGE) == 0;
		is_cut |= strcmp(p.key, "cut_from") == 0;
		has_sql |= strcmp(p.key, "sql") == 0;
		note(&p, e);
	}
	if (!is_query)
		return QUERY_LOG_OTHER;
	if (!has_sql)
		return QUERY_LOG_BAD;
	return is_cut ? QUERY_LOG_CUT : QUERY_LOG_STATEMENT;
}
