/* need.c - see need.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/need.h"

#include "base/plain.h"
#include "sql/tags.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const consistency_names[] = {"eventual", "bounded", "read_your_writes",
                                         "session",  "strong",  NULL};
const char *const scope_names[] = {"session", "user", "table", "cluster", "key", NULL};

static bool is(const char *text, size_t size, const char *word)
{
	return size == strlen(word) && memcmp(text, word, size) == 0;
}

bool consistency_of(const char *name, size_t size, enum consistency *level)
{
	for (int i = 0; i < CONSISTENCIES; i++)
		if (is(name, size, consistency_names[i])) {
			*level = (enum consistency)i;
			return true;
		}
	return false;
}

void position_write(struct position p, char text[POSITION_TEXT])
{
	if (p.timeline == 0)
		*text = '\0';
	else
		snprintf(text, POSITION_TEXT, "%" PRIu32 "/%" PRIX32 "/%" PRIX32, p.timeline,
		         (uint32_t)(p.lsn >> 32), (uint32_t)p.lsn);
}

/* A number of at most 32 bits, up to `stop` or to the end. */
static bool read_number(const char **at, const char *end, int base, char stop, uint32_t *number)
{
	uint64_t sum = 0;
	const char *begin = *at;
	for (; *at < end && **at != stop; ++*at) {
		static const char digits[] = "0123456789abcdef0123456789ABCDEF";
		const char *digit = **at ? strchr(digits, **at) : NULL;
		uint64_t value = digit ? (uint64_t)(digit - digits) % 16 : 16;
		if (value >= (unsigned)base || *at - begin == 10)
			return false;
		sum = sum * (unsigned)base + value;
	}
	*number = (uint32_t)sum;
	return *at > begin && sum <= UINT32_MAX;
}

bool position_read(const char *text, size_t size, struct position *p)
{
	const char *at = text, *end = text + size;
	uint32_t timeline, high, low;
	if (!read_number(&at, end, 10, '/', &timeline) || at++ == end || timeline == 0 ||
	    !read_number(&at, end, 16, '/', &high) || at++ == end ||
	    !read_number(&at, end, 16, '\0', &low) || at != end)
		return false;
	*p = (struct position){timeline, (uint64_t)high << 32 | low};
	return true;
}

/* A replica keeps what it has replayed, as long as it lives: so the one that was read from is never
 * behind what was read, whatever is known of its freshness. */
static bool sees_last_read(const struct need *n, const struct replica *r)
{
	return !n->has_read || r->fresh_as_of >= n->last_read ||
	       (r->index == n->reader && r->incarnation == n->reader_incarnation);
}

/* Positions go on growing over a change of timeline. */
static bool has_reached(struct position p, const struct replica *r)
{
	return p.timeline == 0 || (r->timeline >= p.timeline && r->lsn >= p.lsn);
}

bool need_met(const struct need *n, enum consistency level, double max_staleness, double since,
              double now, const struct replica *r)
{
	if (!has_reached(n->after, r))
		return false;
	switch (level) {
	case CONSISTENCY_EVENTUAL:
		return true;
	case CONSISTENCY_BOUNDED:
		return now - r->fresh_as_of <= max_staleness;
	case CONSISTENCY_READ_YOUR_WRITES:
		return r->fresh_as_of >= since;
	case CONSISTENCY_SESSION:
		return r->fresh_as_of >= since && sees_last_read(n, r);
	case CONSISTENCY_STRONG:
	case CONSISTENCIES:
		break;
	}
	return false;
}

static int shown(size_t size)
{
	return size < 64 ? (int)size : 64;
}

bool need_set_level(struct need *n, const char *value, size_t size, char *wrong, size_t wrong_size)
{
	if (!consistency_of(value, size, &n->level)) {
		snprintf(wrong, wrong_size,
		         "moongate.consistency must be eventual, bounded, read_your_writes, "
		         "session or strong, not \"%.*s\"",
		         shown(size), value);
		return false;
	}
	n->leveled = true;
	return true;
}

/* Seconds, or with a unit as PostgreSQL's settings have it. */
bool need_set_staleness(struct need *n, const char *value, size_t size, char *wrong,
                        size_t wrong_size)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = {{"", 1}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"min", 60}, {"h", 3600}};
	char text[64], *end;
	snprintf(text, sizeof text, "%.*s", shown(size), value);
	double number = plain_number(text, &end);
	bool numeric = end > text && strspn(text, "0123456789.") == (size_t)(end - text);
	while (*end == ' ')
		end++;
	for (size_t i = 0; numeric && size < sizeof text && i < sizeof units / sizeof *units; i++)
		if (strcmp(end, units[i].name) == 0) {
			n->bounded = true;
			n->max_staleness = number * units[i].seconds;
			return true;
		}
	snprintf(wrong, wrong_size,
	         "moongate.max_staleness must be seconds, such as 0.5, or 500ms, not \"%.*s\"",
	         shown(size), value);
	return false;
}

bool need_set_after(struct need *n, const char *value, size_t size, char *wrong, size_t wrong_size)
{
	if (size == 0) { /* what SHOW moongate.token gives a session that has not written */
		n->after = (struct position){0};
		return true;
	}
	if (position_read(value, size, &n->after))
		return true;
	snprintf(wrong, wrong_size,
	         "moongate.after must be what SHOW moongate.token gives: timeline/LSN, such as "
	         "1/0/3000148, not \"%.*s\"",
	         shown(size), value);
	return false;
}

struct reading {
	struct need *need;
	char *wrong;
	size_t wrong_size;
	bool failed;
};

static void take_tag(const char *key, size_t key_size, const char *value, size_t value_size,
                     void *arg)
{
	struct reading *r = arg;
	if (is(key, key_size, "consistency"))
		r->failed |= !need_set_level(r->need, value, value_size, r->wrong, r->wrong_size);
	else if (is(key, key_size, "max_staleness"))
		r->failed |=
		        !need_set_staleness(r->need, value, value_size, r->wrong, r->wrong_size);
	else if (is(key, key_size, "after"))
		r->failed |= !need_set_after(r->need, value, value_size, r->wrong, r->wrong_size);
}

/* Colons are rare in SQL, and what follows one need not be looked at. */
static bool may_have_tags(const char *sql, size_t size)
{
	static const char prefix[] = "moongate";
	const size_t length = sizeof prefix - 1;
	const char *at = sql, *end = sql + size;
	while ((at = memchr(at, ':', (size_t)(end - at)))) {
		if ((size_t)(at - sql) >= length && memcmp(at - length, prefix, length) == 0)
			return true;
		at++;
	}
	return false;
}

bool need_of_tags(struct need *need, const char *sql, size_t size, bool standard_strings,
                  char *wrong, size_t wrong_size)
{
	struct reading r = {.need = need, .wrong = wrong, .wrong_size = wrong_size};
	if (size && may_have_tags(sql, size))
		sql_tags_own(sql, size, standard_strings, take_tag, &r);
	return !r.failed;
}
