/* session.h - what is known of a server's session: its settings, and the statements prepared there.
 *
 * Hangs on the server (server->session) and goes with it. Statements have a number for a name,
 * moongate_1, moongate_2 ...; a number is never used twice, so that a name whose fate is unknown
 * hurts nobody. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_SESSION_H
#define MOONGATE_ROUTER_SESSION_H

#include "base/list.h"
#include "cluster/server.h"
#include "router/settings.h"
#include "router/statement.h"

#define SESSION_NAME 32 /* bytes that the name of a statement takes at most, its NUL included */

/* A statement as one server has it. */
struct prepared {
	UT_hash_handle hh;
	struct list link;            /* in session->recent */
	struct statement *statement; /* the key */
	unsigned number;
	char name[SESSION_NAME]; /* made from the number once, not for each use */
	uint64_t epoch;          /* worker->catalog_epoch when it was parsed */
	char used_as[64]; /* the client's name that it was last used by: errors speak of it */
};

struct session {
	struct settings *settings;
	struct prepared *statements; /* uthash */
	struct list recent;          /* front: used last */
	unsigned count, last_number;
	unsigned stale; /* those up to this number are to be parsed again: session_distrust() */
	struct buffer answer;      /* while it is washed: what has come so far, */
	unsigned awaited;          /* answers that are to come, */
	struct list washing;       /* in worker->washing, */
	struct server *server;     /* and whose it is */
	struct statement *unnamed; /* what its unnamed statement is, for the client attached; not
	                              owned */
};

/* The server's session; made at first need, with the settings `empty`. NULL: out of memory. */
struct session *session_of(struct server *server, struct settings_table *settings);

/* It has these settings now. Takes the reference over. */
void session_set_settings(struct session *s, struct settings *settings);

/* The statement as it is prepared there, NULL: it is not. Marks it as used. */
struct prepared *session_find(struct session *s, struct statement *statement);

/* It is about to be prepared there under a new number. NULL: out of memory. */
struct prepared *session_add(struct session *s, struct statement *statement, uint64_t epoch);

/* It is still there, under the number that it had. */
enum status session_restore(struct session *s, struct statement *statement, unsigned number);

/* It is not there, or not to be used any more. Frees `p`. */
void session_remove(struct session *s, struct prepared *p);

/* The one that was not used for longest. */
struct prepared *session_oldest(struct session *s);

/* A temporary table may hide what its statements name. PostgreSQL notices where it is the session's
 * first one; a server that has had some for another client keeps the plans that it has. */
void session_distrust(struct session *s);

/* All its statements are gone: DISCARD ALL, DEALLOCATE ALL. */
void session_forget_statements(struct session *s);

/* Whether some server may have a statement of this name on our account. */
bool session_is_name(const char *name);

/* The client's name in place of the server's, in an error message such as `prepared statement
 * "moongate_7" ...`; NULL: there is no such statement. */
const char *session_client_name(const struct session *s, unsigned number);

#endif
