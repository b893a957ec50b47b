/* patroni_members.c - see patroni_members.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/patroni_members.h"

#include "base/complaint.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_one_of(const char *text, const char *const *list)
{
	for (; text && *list; list++)
		if (strcmp(text, *list) == 0)
			return true;
	return false;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text && *text ? text : NULL;
}

/* `*port` is 5432 where none is said. False: what is said is none. */
static bool read_port(const json_t *object, char port[static 8])
{
	const json_t *value = json_object_get(object, "port");
	json_int_t number = value ? json_integer_value(value) : 5432;
	if (number < 1 || number > 65535)
		return false;
	snprintf(port, 8, "%d", (int)number);
	return true;
}

static bool copy(char **to, const char *text)
{
	*to = text ? strdup(text) : NULL;
	return !text || *to;
}

static bool read_member(struct patroni_member *m, const json_t *object,
                        const struct complaint_to *to)
{
	static const char *const leaders[] = {"leader", "master", "primary", NULL};
	static const char *const running[] = {"running", "streaming", "in archive recovery", NULL};
	const char *name = text_of(object, "name");
	if (!read_port(object, m->port))
		return complain(to, "the \"port\" of member %.64s is none", name);
	m->leader = is_one_of(text_of(object, "role"), leaders);
	m->running = is_one_of(text_of(object, "state"), running);
	m->timeline = json_integer_value(json_object_get(object, "timeline"));
	m->unbalanced =
	        json_is_true(json_object_get(json_object_get(object, "tags"), "noloadbalance"));
	return (copy(&m->name, name) && copy(&m->host, text_of(object, "host")) &&
	        copy(&m->api_url, text_of(object, "api_url"))) ||
	       complain(to, "out of memory");
}

static bool read_all(struct patroni_members *members, const json_t *list,
                     const struct complaint_to *to)
{
	size_t i;
	const json_t *each;
	members->list = calloc(json_array_size(list) + 1, sizeof *members->list);
	if (!members->list)
		return complain(to, "out of memory");
	json_array_foreach(list, i, each)
	{
		const char *name = text_of(each, "name");
		if (!name)
			return complain(to, "member %zu has no \"name\"", i + 1);
		if (patroni_members_find(members, name))
			return complain(to, "two members are called %.64s", name);
		if (text_of(each, "host") &&
		    !read_member(&members->list[members->count++], each, to))
			return false;
	}
	return members->count > 0 || complain(to, "it knows no member that has a \"host\"");
}

bool patroni_members_parse(struct patroni_members *members, const char *body, size_t size,
                           char *error, size_t error_size)
{
	const struct complaint_to to = {error, error_size};
	json_error_t wrong;
	*members = (struct patroni_members){0};
	json_t *answer = json_loadb(body, size, 0, &wrong);
	if (!answer)
		return complain(&to, "its answer is no JSON: %s", wrong.text);
	const json_t *list = json_object_get(answer, "members");
	bool read = json_is_array(list) ? read_all(members, list, &to)
	                                : complain(&to, "its answer has no list \"members\"");
	json_decref(answer);
	if (!read)
		patroni_members_free(members);
	return read;
}

void patroni_members_free(struct patroni_members *members)
{
	for (size_t i = 0; i < members->count; i++) {
		free(members->list[i].name);
		free(members->list[i].host);
		free(members->list[i].api_url);
	}
	free(members->list);
	*members = (struct patroni_members){0};
}

const struct patroni_member *patroni_members_find(const struct patroni_members *members,
                                                  const char *name)
{
	for (size_t i = 0; i < members->count; i++)
		if (members->list[i].name && strcmp(members->list[i].name, name) == 0)
			return &members->list[i];
	return NULL;
}

bool patroni_members_changed(const struct patroni_members *before,
                             const struct patroni_members *now)
{
	for (size_t i = 0; i < now->count; i++) {
		const struct patroni_member *m = &now->list[i],
		                            *was = patroni_members_find(before, m->name);
		if (!was || m->leader != was->leader || m->timeline != was->timeline ||
		    (m->running && !was->running))
			return true;
	}
	return false;
}
