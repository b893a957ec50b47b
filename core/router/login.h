/* login.h - what a replication client's startup packet asks for, in libpq's words.
 *
 * Its server is opened by libpq, which sends a few parameters by keyword and all others as
 * `options`. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_LOGIN_H
#define MOONGATE_ROUTER_LOGIN_H

#include "base/buffer.h"
#include "wire/startup.h"

/* Zero is empty. */
struct login {
	struct buffer options;  /* without a NUL at its end */
	struct buffer keywords; /* keyword, value ...; each ends with a NUL */
};

enum status login_read(struct login *login, const struct startup *startup) MUST_CHECK;
void login_free(struct login *login);

/* Appends the `extras` of struct conninfo_login. `options` are the URL's, or NULL; the client's
 * win. */
enum status login_extras(const struct login *login, const char *options,
                         struct buffer *extras) MUST_CHECK;

#endif
