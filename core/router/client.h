/* client.h - an application's connection to the router, from its first byte to its last.
 *
 *  STARTING --startup--> WELCOMING --welcome--> READY --Terminate, refusal--> CLOSING --> GONE
 *
 * CLOSING still sends its last words. GONE has given back all but its memory, which the worker
 * frees when no callback can be using it any more: whoever calls out looks at the state afterwards.
 *
 * A client that is READY and asks for nothing owns no buffer and no server: what it needs while a
 * batch is under way is its exchange (relay.h), which it has from the batch's first byte that must
 * wait until the server is given back. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_CLIENT_H
#define MOONGATE_ROUTER_CLIENT_H

#include "base/buffer.h"
#include "base/list.h"
#include "base/status.h"
#include "router/block.h"
#include "router/cancel_key.h"
#include "router/last_route.h"
#include "router/settings.h"
#include "router/statement.h"
#include "router/worker.h"

struct demands;
struct exchange;

enum client_state { CLIENT_STARTING, CLIENT_WELCOMING, CLIENT_READY, CLIENT_CLOSING, CLIENT_GONE };

struct client {
	struct list link; /* in worker->clients */
	struct worker *worker;
	enum client_state state;
	int fd;
	ev_io reader, writer;
	struct buffer in;                  /* received, not yet routed */
	struct buffer out;                 /* the client's to take */
	struct exchange *exchange;         /* NULL: nothing under way */
	const struct script_cluster *home; /* its database's cluster and policy; NULL: not known
	                                      yet, or not served any more */
	const struct session_config *config;
	struct catalog_source *catalog; /* its database's; NULL: not known yet */
	char *user, *database;          /* in one block, `user`'s */
	struct settings *startup;       /* what its startup packet asks for */
	struct settings *settings;      /* what it has now */
	struct prepared_name *names;    /* uthash: its prepared statements */
	struct statement *unnamed;      /* its unnamed one; NULL: none */
	struct demands *demands;        /* demands.h; NULL: none of its own */
	struct block block;
	struct cancel_key key;
	double last_write;     /* when a write of its was last seen done; -INFINITY: never */
	float heard;           /* when it last said something, or was answered: worker->tick */
	unsigned pins;         /* enum pin, and those of relay.h: why it keeps its server */
	unsigned pins_told;    /* those that the log has told of */
	int vars;              /* see struct session_facts */
	int shadow_vars;       /* likewise, the shadow's: shadow.h */
	size_t discard;        /* bytes of a message still to pass over */
	bool standard_strings; /* as its settings, or a SET that is not committed yet, say */
	bool unread;           /* a text that was not read may have SET something */
	bool dirty;            /* in pool mode "session": it may have left state behind */
	bool skip_to_sync;     /* its batch was refused: nothing counts until Sync */
	bool eof;              /* it will send no more */
	struct last_route last;
	char address[];
};

/* Takes over `fd`. ST_ENOMEM: not taken. `address` is copied. */
enum status client_new(struct worker *worker, int fd, const char *address);

/* Sends what is in c->out, as far as the client takes it now. False: the client is gone. */
bool client_flush(struct client *c);

/* Sends bytes, keeping what the client does not take now. False: as above. */
bool client_send(struct client *c, const uint8_t *bytes, size_t size);

/* Ends the connection: with a FATAL error, or without a word where `sqlstate` is NULL or a message
 * has gone out in part. */
void client_close(struct client *c, const char *sqlstate, const char *message, const char *hint);

/* Ends it without another word: the state is GONE afterwards. */
void client_drop(struct client *c);

/* Frees the memory of a client that is GONE. */
void client_free(struct client *c);

/* It has ended its direction, though not all that it has said is read yet: a look at the socket. */
bool client_has_left(const struct client *c);

/* It has these settings from now on. Takes the reference over. */
void client_set_settings(struct client *c, struct settings *settings);

/* What is known of its database now; NULL: nothing. */
static inline const struct catalog *client_catalog(const struct client *c)
{
	return c->catalog ? c->catalog->catalog : NULL;
}

/* What a client is told whose database is not the routing script's any more. */
#define CLIENT_NOT_SERVED "this database is not served any more"

/* Finds its home in the worker's script, and what holds for it there. False: there is none. */
bool client_find_home(struct client *c);

/* It is served by this one from now on, whatever its database; NULL: by none. */
void client_set_home(struct client *c, const struct script_cluster *home);

/* Looks again at what is in c->in, and reads on. */
void client_resume(struct client *c);

#endif
