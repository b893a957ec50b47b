/* conninfo.c - see conninfo.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/conninfo.h"

#include "wire/startup.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RIGHT_FORM "expected postgres://user:password@host:port/database"

struct conninfo {
	PQconninfoOption *options; /* libpq's, with its defaults filled in by libpq later */
	char *reason;              /* conninfo_broken(); else NULL */
};

/* libpq's message with all that it quotes from the URL left out. */
static void without_quotes(const char *message, char *out, size_t size)
{
	size_t used = 0;
	bool quoted = false;
	for (; *message && *message != '\n' && used + 1 < size; message++) {
		if (*message == '"')
			quoted = !quoted;
		else if (quoted)
			continue;
		out[used++] = *message;
	}
	out[used] = '\0';
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* What is no URL is keywords to libpq, of which it finds none: missing "=" after "mysql://...". */
static bool has_another_scheme(const char *url)
{
	const char *colon = strstr(url, "://"), *equals = strchr(url, '=');
	return colon && (!equals || colon < equals) && !begins(url, "postgres://") &&
	       !begins(url, "postgresql://");
}

static void explain(char *error, size_t size, const char *url, const char *libpq_message)
{
	char message[160] = "out of memory";
	if (libpq_message && has_another_scheme(url))
		snprintf(message, sizeof message, "it does not begin with postgres://");
	else if (libpq_message)
		without_quotes(libpq_message, message, sizeof message);
	snprintf(error, size, "invalid URL: %s; " RIGHT_FORM, message);
}

const char *conninfo_get(const struct conninfo *info, const char *keyword)
{
	for (const PQconninfoOption *o = info->options; o->keyword; o++)
		if (strcmp(o->keyword, keyword) == 0)
			return o->val && *o->val ? o->val : NULL;
	return NULL;
}

static bool names_one_host(const struct conninfo *info)
{
	static const char *const keywords[] = {"host", "hostaddr", "port"};
	for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
		const char *value = conninfo_get(info, keywords[i]);
		if (value && strchr(value, ','))
			return false;
	}
	return true;
}

static bool port_is_right(const struct conninfo *info)
{
	const char *port = conninfo_get(info, "port");
	char *end = NULL;
	long number = port ? strtol(port, &end, 10) : 5432;
	return (!end || !*end) && number >= 1 && number <= 65535;
}

/* A password's @ ends it, if it is not written as %40: the rest of the password is in front of the
 * host then, where messages would show it. Sockets' paths may have one. */
static bool host_is_right(const struct conninfo *info)
{
	const char *host = conninfo_get(info, "host");
	return !host || *host == '/' || !strchr(host + 1, '@');
}

/* False: out of memory, or the URL has named it. */
static bool place(const struct conninfo *info, const char *keyword, const char *value)
{
	for (PQconninfoOption *o = info->options; value && o->keyword; o++) {
		if (strcmp(o->keyword, keyword) != 0)
			continue;
		if (o->val && *o->val)
			return false;
		free(o->val);
		o->val = strdup(value);
		return o->val != NULL;
	}
	return true;
}

struct conninfo *conninfo_parse(const char *url, char *error, size_t error_size)
{
	return conninfo_parse_at(url, NULL, NULL, error, error_size);
}

struct conninfo *conninfo_parse_at(const char *url, const char *host, const char *port, char *error,
                                   size_t error_size)
{
	char *message = NULL;
	struct conninfo *info = calloc(1, sizeof *info);
	if (info)
		info->options = PQconninfoParse(url, &message);
	if (!info || !info->options) {
		explain(error, error_size, url, message);
		goto fail;
	}
	if ((host && conninfo_get(info, "hostaddr")) || !place(info, "host", host) ||
	    !place(info, "port", port)) {
		snprintf(error, error_size,
		         "invalid URL: it names a host or a port, which are found elsewhere; "
		         "expected postgres://user:password@/database");
		goto fail;
	}
	if (!host_is_right(info)) {
		snprintf(error, error_size,
		         "invalid URL: there is an @ in its host; in a user's name or a password "
		         "it is written as %%40");
		goto fail;
	}
	if (!names_one_host(info)) {
		snprintf(error, error_size,
		         "invalid URL: it names several hosts, and an endpoint is one; list the "
		         "others as endpoints of their own");
		goto fail;
	}
	if (!port_is_right(info)) {
		snprintf(error, error_size,
		         "invalid URL: its port must be a number from 1 to 65535; " RIGHT_FORM);
		goto fail;
	}
	return info;
fail:
	PQfreemem(message);
	conninfo_free(info);
	return NULL;
}

struct conninfo *conninfo_broken(const char *reason)
{
	char unused[8];
	struct conninfo *info = conninfo_parse("", unused, sizeof unused);
	if (!info)
		return NULL;
	info->reason = strdup(reason);
	if (info->reason)
		return info;
	conninfo_free(info);
	return NULL;
}

const char *conninfo_reason(const struct conninfo *info)
{
	return info->reason;
}

static bool same(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

/* Both lists hold all keywords, in libpq's order. */
bool conninfo_equal(const struct conninfo *a, const struct conninfo *b)
{
	const PQconninfoOption *x = a->options, *y = b->options;
	if (a->reason || b->reason)
		return false; /* what it was is not known any more */
	for (; x->keyword && y->keyword; x++, y++)
		if (!same(x->keyword, y->keyword) || !same(x->val, y->val))
			return false;
	return !x->keyword && !y->keyword;
}

void conninfo_free(struct conninfo *info)
{
	if (!info)
		return;
	free(info->reason);
	PQconninfoFree(info->options);
	free(info);
}

const char *conninfo_host_to_resolve(const struct conninfo *info)
{
	const char *host = conninfo_get(info, "host");
	if (!host || *host == '/' || *host == '@' || conninfo_get(info, "hostaddr"))
		return NULL;
	return host;
}

struct additions {
	struct conninfo_params *params;
	size_t count;
};

static void add(struct additions *a, const char *keyword, const char *value)
{
	if (!value || a->count + 1 >= CONNINFO_PARAMS)
		return;
	a->params->keywords[a->count] = keyword;
	a->params->values[a->count] = value;
	a->count++;
}

/* libpq wants as many hosts as addresses: "db1,db1,db1" beside "10.0.0.1,10.0.0.2,10.0.0.3". */
static char *repeat_host(const char *host, const char *addresses)
{
	size_t times = 1;
	for (const char *c = addresses; *c; c++)
		times += *c == ',';
	size_t size = strlen(host) + 1;
	char *hosts = malloc(times * size);
	if (!hosts)
		return NULL;
	for (size_t i = 0; i < times; i++) {
		memcpy(hosts + i * size, host, size);
		hosts[(i + 1) * size - 1] = i + 1 < times ? ',' : '\0';
	}
	return hosts;
}

static bool is_own(const char *keyword)
{
	static const char *const own[] = {"gssencmode", "replication", "host"};
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (strcmp(keyword, own[i]) == 0)
			return true;
	return false;
}

/* Of two values of a keyword libpq takes the last. */
static void add_extras(struct additions *a, const char *extras)
{
	const char *name, *value;
	while (extras && startup_next(&extras, &name, &value))
		add(a, name, value);
}

bool conninfo_params(const struct conninfo *info, const struct conninfo_login *login,
                     const char *addresses, struct conninfo_params *params)
{
	memset(params, 0, sizeof *params);
	struct additions a = {.params = params};
	const char *host = conninfo_get(info, "host");
	if (addresses) {
		params->hosts = repeat_host(host, addresses);
		if (!params->hosts)
			return false;
		add(&a, "hostaddr", addresses);
	}
	add(&a, "host", addresses ? params->hosts : host);
	for (const PQconninfoOption *o = info->options; o->keyword; o++)
		if (o->val && *o->val && !is_own(o->keyword))
			add(&a, o->keyword, o->val);
	if (!conninfo_get(info, "user"))
		add(&a, "user", login->user);
	if (!conninfo_get(info, "dbname"))
		add(&a, "dbname", login->database);
	add_extras(&a, login->extras);
	add(&a, "gssencmode", "disable"); /* raw bytes would need libpq's GSS layer */
	return true;
}

void conninfo_params_free(struct conninfo_params *params)
{
	free(params->hosts);
	params->hosts = NULL;
}
