/* conninfo.h - where and how to connect to an endpoint; the one place that holds passwords. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_CONNINFO_H
#define MOONGATE_CLUSTER_CONNINFO_H

#include <stdbool.h>
#include <stddef.h>

struct conninfo;

/* Keywords and values for PQconnectStartParams(); ends with NULL. */
#define CONNINFO_PARAMS 64
struct conninfo_params {
	const char *keywords[CONNINFO_PARAMS], *values[CONNINFO_PARAMS];
	char *hosts; /* owned: conninfo_params_free() */
};

/* From a postgres:// URL or key=value pairs. On failure NULL, and `error` says what is wrong and
 * shows the right form, without repeating any of `url`, which may hold a password. */
struct conninfo *conninfo_parse(const char *url, char *error, size_t error_size);
void conninfo_free(struct conninfo *info); /* NULL is fine */

/* What the URL says of `keyword`, or NULL. */
const char *conninfo_get(const struct conninfo *info, const char *keyword);

/* Whether both lead to the same place in the same way, as the same user, if the URL names one. */
bool conninfo_equal(const struct conninfo *a, const struct conninfo *b);

/* What stands in the place of a URL that is wrong: all attempts to connect fail with `reason`.
 * NULL: out of memory. */
struct conninfo *conninfo_broken(const char *reason);

/* That reason; NULL: it is as good as it looks. */
const char *conninfo_reason(const struct conninfo *info);

/* The host name to resolve before connecting; NULL for a Unix socket or a given hostaddr. */
const char *conninfo_host_to_resolve(const struct conninfo *info);

/* What a connection asks for beside the URL. */
struct conninfo_login {
	const char *user, *database; /* where the URL names none; NULL: libpq's default */
	const char *extras; /* keyword, value, keyword, value ..., an empty keyword; each ends with
	                       a NUL. They win over the URL's. NULL: none */
};

/* `addresses` (comma-separated) is what the host resolved to, or NULL. False: out of memory. All
 * strings must outlive `params`. */
bool conninfo_params(const struct conninfo *info, const struct conninfo_login *login,
                     const char *addresses, struct conninfo_params *params);
void conninfo_params_free(struct conninfo_params *params);

#endif
