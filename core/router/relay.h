/* relay.h - batches from a client to a server, and what comes back.
 *
 * An *exchange* is what a client needs while a batch is under way:
 *   choosing   the dispatch looks for a server; the batch waits in client->in
 *   attached   bytes pass; `outstanding` answers (ReadyForQuery) are awaited
 * It ends at ReadyForQuery `I` with nothing outstanding, unless the client is pinned. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_RELAY_H
#define MOONGATE_ROUTER_RELAY_H

#include "cluster/dispatch.h"
#include "router/client.h"

#define RELAY_REPLAY    4096  /* bytes of a read that may be run again elsewhere */
#define RELAY_UNDECIDED 16384 /* bytes of a response held back while it might be */
#define RELAY_PIPELINE  64    /* answers awaited at most */

/* Why a client keeps its server, beside enum pin. */
enum relay_pin {
	RELAY_PIN_STATEMENT = 1u << 16, /* a named prepared statement */
	RELAY_PIN_UNNAMED = 1u << 17,   /* the unnamed one, prepared ahead of its use */
	RELAY_PIN_ENCODING = 1u << 18,  /* its statements cannot be read: see begin_session() */
};

/* What is known of one awaited answer. */
enum batch_flag {
	BATCH_SIMPLE = 1u << 0,    /* a Query or FunctionCall: no Sync belongs to it */
	BATCH_BARE = 1u << 1,      /* a Sync alone */
	BATCH_COPY_END = 1u << 2,  /* CopyDone or CopyFail was sent ahead of its Sync */
	BATCH_WRITE = 1u << 3,     /* it may have written */
	BATCH_UNCERTAIN = 1u << 4, /* it may have begun or ended a transaction block */
};

struct exchange {
	struct list link; /* in worker->spare, while unused */
	struct client *client;
	struct dispatch dispatch;
	struct route *route;   /* of the batch under way; NULL: one endpoint */
	struct server *server; /* NULL: choosing, or refused */
	char sqlstate[6];      /* set: no server could be had */
	char message[256];
	bool choosing_now; /* inside of dispatch_start() */
	bool chosen;       /* the server was chosen for the batch that comes first in client->in */
	bool open;         /* an extended batch without its Sync yet */
	bool copy_in;      /* the server reads CopyData */
	bool decided;      /* some of the response was forwarded, or nothing can be run again */
	bool drop_rest;    /* the rest of the current message is not the client's */
	bool surplus;      /* the server said more than was asked: it is going */
	bool fatal;        /* the server said FATAL; its end follows */
	char status;       /* of the last ReadyForQuery */
	unsigned swallow;  /* answers to our own queries, ahead of the client's */
	unsigned first, outstanding;
	uint8_t flags[RELAY_PIPELINE]; /* a ring: of the awaited answers, enum batch_flag */
	size_t passing;                /* bytes of the client's current message still to pass */
	size_t rest;                   /* bytes of the server's current message still to pass */
	struct buffer to_server;       /* what the server does not take yet */
	struct buffer pending;         /* received from it, undecided or incomplete */
	size_t replay_size;            /* 0: the batch cannot be run again */
	size_t replay_text;            /* where its SQL text is, for the classifier */
	size_t replay_text_size;
	bool replaying;
	uint8_t replay_flags;
	uint64_t excluded;
	uint8_t replay[RELAY_REPLAY];
};

/* Takes what it can of `bytes`; *used says how much. ST_OK: go on reading. ST_AGAIN: what is left
 * must wait; client_resume() follows. ST_CLOSED: the client is gone. */
enum status relay_take(struct client *c, const uint8_t *bytes, size_t size,
                       size_t *used) MUST_CHECK;

/* The client has taken all that was buffered for it: the server may be read again. */
void relay_drained(struct client *c);

/* Whether an answer is awaited. */
bool relay_busy(const struct client *c);

/* The client goes: its server is given back, or closed where it carries state or work. */
void relay_abandon(struct client *c);

/* An exchange for `c`, fresh; NULL: out of memory. And its end. */
struct exchange *exchange_new(struct client *c);
void exchange_free(struct exchange *x);

/* The server's side, relay_server.c. */
void relay_attach(struct exchange *x);
bool relay_to_server(struct exchange *x, const uint8_t *bytes, size_t size);
void relay_choose(struct exchange *x, struct route *route, struct endpoint *endpoint);
void relay_lost(struct exchange *x);

/* An error is the first of a response that could be taken back. True: it is being run again, and
 * nothing of the exchange may be touched any more. */
bool relay_repair(struct exchange *x, const uint8_t *body, size_t size);

/* Takes the server to the client's settings, ahead of what follows; where they differ, or `always`.
 */
bool relay_apply_settings(struct exchange *x, bool always);
void relay_push(struct exchange *x, uint8_t flags);
void relay_replay(struct exchange *x);
void relay_cancel_wait(struct exchange *x); /* the client cancels while a server is looked for */
void relay_give_back(struct worker *w, struct server *server, bool reusable);

#endif
