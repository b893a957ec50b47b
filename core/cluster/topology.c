/* topology.c - see topology.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/topology.h"

#define BIT(i) (UINT64_C(1) << (i))

struct look {
	const struct member *members;
	size_t count;
	struct topology found;
};

static bool foreign(const struct look *l, size_t i)
{
	return l->found.foreign >> i & 1;
}

static bool is_primary(const struct look *l, size_t i)
{
	return l->members[i].role == ROLE_PRIMARY && !foreign(l, i);
}

/* Its role is known, and it is there. */
static bool answers(const struct member *m)
{
	return m->usable && !m->awaited;
}

static uint64_t system_of(const struct look *l)
{
	uint64_t first = 0;
	for (size_t i = 0; i < l->count; i++) {
		const struct member *m = &l->members[i];
		if (m->system && m->configured)
			return m->system;
		if (m->system && (!first || m->role == ROLE_PRIMARY))
			first = m->system;
	}
	return first;
}

static void find_foreign(struct look *l)
{
	for (size_t i = 0; i < l->count; i++) {
		uint64_t system = l->members[i].system;
		if (system && system != l->found.system)
			l->found.foreign |= BIT(i);
	}
}

/* A primary that is down still counts: it may be there, and we are cut off from it. A replica that
 * is down may have been left on a branch that nobody follows any more. */
static void find_timeline(struct look *l)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct member *m = &l->members[i];
		if (foreign(l, i) || m->timeline <= l->found.timeline)
			continue;
		if (m->role == ROLE_PRIMARY || m->usable)
			l->found.timeline = m->timeline;
	}
	for (size_t i = 0; i < l->count; i++) {
		uint32_t timeline = l->members[i].timeline;
		if (timeline && timeline < l->found.timeline && !foreign(l, i))
			l->found.outdated |= BIT(i);
	}
}

/* The first that fits, and a bit for each that does. */
static size_t first_of(const struct look *l, uint32_t timeline, bool answering, uint64_t *all)
{
	size_t first = TOPOLOGY_NOBODY;
	*all = 0;
	for (size_t i = l->count; i-- > 0;) {
		const struct member *m = &l->members[i];
		if (!is_primary(l, i) || m->timeline != timeline || answers(m) != answering)
			continue;
		*all |= BIT(i);
		/* Among those of which nothing is known the configuration decides. */
		if (first == TOPOLOGY_NOBODY || m->configured || !l->members[first].configured)
			first = i;
	}
	return first;
}

static void settle(struct look *l, size_t primary, enum topology_state state)
{
	l->found.primary = primary;
	l->found.state = state;
}

static void take(struct look *l, size_t primary)
{
	settle(l, primary, l->members[primary].read_only ? TOPOLOGY_READ_ONLY : TOPOLOGY_PRIMARY);
}

/* On the newest timeline. */
static bool find_newest(struct look *l)
{
	uint64_t all;
	if (l->found.timeline == 0)
		return false;
	size_t first = first_of(l, l->found.timeline, true, &all);
	if (first != TOPOLOGY_NOBODY && (all & (all - 1))) {
		settle(l, TOPOLOGY_NOBODY, TOPOLOGY_SPLIT);
		l->found.rivals = all;
	} else if (first != TOPOLOGY_NOBODY) {
		take(l, first);
	} else if ((first = first_of(l, l->found.timeline, false, &all)) != TOPOLOGY_NOBODY) {
		settle(l, first, TOPOLOGY_DOWN);
	}
	return first != TOPOLOGY_NOBODY;
}

/* Those that let no probe in, or have not been there yet: what the configuration says. */
static bool find_configured(struct look *l)
{
	uint64_t all;
	size_t first = first_of(l, 0, true, &all);
	if (first != TOPOLOGY_NOBODY) {
		take(l, first);
		return true;
	}
	first = first_of(l, 0, false, &all);
	if (first == TOPOLOGY_NOBODY)
		return false;
	settle(l, first, l->members[first].usable ? TOPOLOGY_STARTING : TOPOLOGY_DOWN);
	return true;
}

/* The first look at a cluster: another endpoint may be a primary of something else altogether,
 * which only the configured one can tell, and it is about to. */
static bool must_wait(const struct look *l, uint64_t system, size_t *whom)
{
	for (size_t i = 0; i < l->count && !system; i++) {
		const struct member *m = &l->members[i];
		if (m->configured && m->awaited && m->usable && !m->failed) {
			*whom = i;
			return true;
		}
	}
	return false;
}

static bool has_outdated_primary(const struct look *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (is_primary(l, i) && (l->found.outdated >> i & 1) && l->members[i].usable)
			return true;
	return false;
}

struct topology topology_of(const struct member *members, size_t count, uint64_t system)
{
	struct look l = {.members = members, .count = count};
	size_t whom;
	l.found.primary = TOPOLOGY_NOBODY;
	if (must_wait(&l, system, &whom)) {
		settle(&l, whom, TOPOLOGY_STARTING);
		return l.found;
	}
	l.found.system = system ? system : system_of(&l);
	find_foreign(&l);
	find_timeline(&l);
	if (!find_newest(&l) && !find_configured(&l))
		settle(&l, TOPOLOGY_NOBODY,
		       has_outdated_primary(&l) ? TOPOLOGY_OUTDATED : TOPOLOGY_NONE);
	return l.found;
}

const char *topology_reason(enum topology_state state)
{
	static const char *const reasons[] = {
	        [TOPOLOGY_PRIMARY] = NULL,
	        [TOPOLOGY_READ_ONLY] = "the primary is read-only (default_transaction_read_only)",
	        [TOPOLOGY_STARTING] = "the primary has not answered yet",
	        [TOPOLOGY_DOWN] = "the primary is down",
	        [TOPOLOGY_OUTDATED] = "the only primary is on a timeline that was left",
	        [TOPOLOGY_SPLIT] = "there are several primaries on one timeline",
	        [TOPOLOGY_NONE] = "no endpoint is a primary"};
	return reasons[state];
}

const char *role_name(enum role role)
{
	static const char *const names[] = {"unknown", "primary", "replica"};
	return names[role];
}
