/* classifier.c - the cache is asked first by the statement's form, then by its whole text.
 *
 * By form: what the parser took. By text: syntax errors, which may hang on what the form leaves
 * out. Not at all: what is beyond the limits, as the same form may come shorter. */
/* SPDX-License-Identifier: MIT */
#include "sql/classifier.h"

#include "base/random.h"
#include "sql/cache.h"
#include "sql/hash.h"
#include "sql/normalize.h"
#include "sql/parser.h"
#include "sql/words.h"

#include <stdlib.h>
#include <string.h>

#define SECRET_SIZE 192 /* XXH3's own has as much */

/* One secret per way in which a key is made, so that keys of two ways never meet. */
enum { BY_FORM, BY_TEXT, WAYS };

struct classifier {
	struct cache cache;
	struct form form;
	struct facts *last; /* facts that are not in the cache */
	struct classifier_stats stats;
	uint64_t epoch;
	uint8_t secrets[2][WAYS][SECRET_SIZE]; /* by standard_strings */
};

struct statement {
	const struct catalog *catalog;
	const char *sql;
	size_t size;
	bool standard_strings;
};

/* When memory is out, or a text cannot be given to the parser. */
static const struct facts in_doubt = {.intent = INTENT_WRITE,
                                      .kind = SQL_UNKNOWN,
                                      .pins = PIN_SESSION,
                                      .effects = EFFECTS_OF_HIDDEN_CODE,
                                      .reason = "is beyond the limits"};

struct classifier *classifier_new(size_t entries)
{
	struct classifier *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	if (!cache_init(&c->cache, entries ? entries : 1)) {
		classifier_free(c);
		return NULL;
	}
	random_secret(c->secrets, sizeof(c->secrets));
	/* The parser's first run in a process takes a hundred times longer than the next. */
	struct draft draft = {0};
	struct catalog_lookup nothing = catalog_lookup(NULL);
	if (parse(&draft, &nothing, "select 1", true))
		free(draft_finish(&draft));
	return c;
}

void classifier_free(struct classifier *c)
{
	if (!c)
		return;
	cache_free(&c->cache);
	form_free(&c->form);
	free(c->last);
	free(c);
}

static struct cache_key key_of(struct classifier *c, const struct statement *s, int way)
{
	const void *bytes = way == BY_FORM ? (const void *)c->form.bytes : s->sql;
	size_t size = way == BY_FORM ? c->form.size : s->size;
	XXH128_hash_t hash = XXH3_128bits_withSecret(
	        bytes, size, c->secrets[s->standard_strings][way], SECRET_SIZE);
	return (struct cache_key){.low = hash.low64 ^ catalog_version(s->catalog),
	                          .high = hash.high64};
}

/* Where literals decide, their form has them; the fingerprint never does. */
static bool make_form(struct classifier *c, const struct statement *s, uint64_t *fingerprint)
{
	struct form *f = &c->form;
	normalize(f, s->sql, s->size, s->standard_strings, false);
	if (fingerprint)
		*fingerprint = form_fingerprint(f);
	if (f->complete && f->literals_decide)
		normalize(f, s->sql, s->size, s->standard_strings, true);
	return f->complete;
}

static struct facts *finish(struct draft *draft, uint64_t fingerprint)
{
	draft->fingerprint = fingerprint;
	return draft_finish(draft);
}

/* Facts of a text that is not parsed, or does not parse. */
static struct facts *unparsed(const struct statement *s, const char *reason)
{
	struct draft draft = {
	        .kind = SQL_UNKNOWN, .effects = EFFECTS_OF_HIDDEN_CODE, .reason = reason};
	words_of_program(&draft, s->sql, s->size, s->standard_strings, false);
	return draft_finish(&draft);
}

static bool within_limits(const struct form *f, const struct statement *s)
{
	return f->complete && s->size <= PARSE_TEXT && f->tokens <= PARSE_TOKENS &&
	       f->operator_cost <= PARSE_OPERATOR_COST;
}

static const struct facts *keep_last(struct classifier *c, struct facts *facts)
{
	free(c->last);
	c->last = facts;
	return facts ? facts : &in_doubt;
}

static struct facts *remember(struct classifier *c, struct cache_key key, struct facts *facts)
{
	if (facts)
		cache_put(&c->cache, key, facts);
	return facts;
}

/* The statement's form has been made. NULL: out of memory. */
static struct facts *parse_and_remember(struct classifier *c, const struct statement *s,
                                        struct cache_key by_form)
{
	struct cache_key by_text = key_of(c, s, BY_TEXT);
	struct facts *facts = cache_find(&c->cache, by_text);
	if (facts) {
		c->stats.hits++;
		return facts;
	}
	c->stats.misses++;
	uint64_t fingerprint = 0;
	struct draft draft = {0};
	const struct catalog_lookup catalog = catalog_lookup(s->catalog);
	bool parsed = parse(&draft, &catalog, s->sql, s->standard_strings);
	bool odd = c->form.odd;
	make_form(c, s, &fingerprint);
	if (parsed)
		return remember(c, odd ? by_text : by_form, finish(&draft, fingerprint));
	facts = unparsed(s, "is not understood");
	if (facts)
		facts->fingerprint = fingerprint;
	return remember(c, by_text, facts);
}

/* Facts that may be changed; NULL: they are not remembered. */
static struct facts *lookup(struct classifier *c, const struct statement *s)
{
	make_form(c, s, NULL);
	struct cache_key by_form = key_of(c, s, BY_FORM);
	struct facts *facts =
	        c->form.complete && !c->form.odd ? cache_find(&c->cache, by_form) : NULL;
	if (facts) {
		c->stats.hits++;
		return facts;
	}
	if (!within_limits(&c->form, s) || memchr(s->sql, '\0', s->size)) {
		c->stats.misses++;
		c->stats.refused++;
		return NULL;
	}
	return parse_and_remember(c, s, by_form);
}

const struct facts *classifier_facts(struct classifier *c, const struct catalog *catalog,
                                     const char *sql, size_t size, bool standard_strings)
{
	struct statement s = {
	        .catalog = catalog, .sql = sql, .size = size, .standard_strings = standard_strings};
	const struct facts *facts = lookup(c, &s);
	return facts ? facts : keep_last(c, unparsed(&s, "is beyond the limits"));
}

void classifier_learn_write(struct classifier *c, const struct catalog *catalog, const char *sql,
                            size_t size, bool standard_strings)
{
	struct statement s = {
	        .catalog = catalog, .sql = sql, .size = size, .standard_strings = standard_strings};
	struct facts *facts = lookup(c, &s);
	if (!facts || facts->intent == INTENT_WRITE)
		return;
	facts->intent = INTENT_WRITE;
	facts->reason = "was refused by a replica";
	c->epoch++;
}

uint64_t classifier_epoch(const struct classifier *c)
{
	return c->epoch;
}

struct classifier_stats classifier_stats(const struct classifier *c)
{
	struct classifier_stats stats = c->stats;
	stats.entries = c->cache.count;
	stats.evictions = c->cache.evictions;
	return stats;
}
