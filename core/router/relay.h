/* relay.h - batches from a client to a server, and what comes back.
 *
 * An *exchange* is what a client needs while a batch is under way:
 *   choosing   the dispatch looks for a server; the batch waits in client->in
 *   attached   bytes pass; `outstanding` answers (ReadyForQuery) are awaited
 * It ends at ReadyForQuery `I` with nothing outstanding, unless the client is pinned.
 *
 * What is sent on our own account (errand.h) is sent ahead of a batch, or when nothing is awaited;
 * so its answers come ahead of the client's. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_RELAY_H
#define MOONGATE_ROUTER_RELAY_H

#include "cluster/dispatch.h"
#include "router/batch.h"
#include "router/client.h"
#include "router/demands.h"
#include "router/edits.h"
#include "router/measure.h"
#include "router/session.h"
#include "sql/long_text.h"

#define RELAY_REPLAY    65536 /* bytes of a batch that may be run again; */
#define RELAY_AT_HAND   4096  /* beyond these they are allocated */
#define RELAY_UNDECIDED 16384 /* bytes of a response held back while it might be */
#define RELAY_PIPELINE  64    /* answers awaited at most */
#define RELAY_ERRANDS   8     /* queries of ours under way at most */

/* Why a client keeps its server, beside enum pin. */
enum relay_pin {
	RELAY_PIN_ENCODING = 1u << 16,  /* its statements cannot be read: see settings.h */
	RELAY_PIN_SESSION = 1u << 17,   /* pool mode "session" */
	RELAY_PIN_STATEMENT = 1u << 18, /* a prepared statement too long to be kept by the router */
};

/* Beside enum sql_effect, in exchange->effects: a statement that pins has run. */
#define RELAY_EFFECT_PINNED (1u << 31)

/* What is known of one awaited answer. */
enum batch_flag {
	BATCH_SIMPLE = 1u << 0,    /* a Query or FunctionCall: no Sync belongs to it */
	BATCH_BARE = 1u << 1,      /* a Sync alone */
	BATCH_COPY_END = 1u << 2,  /* CopyDone or CopyFail was sent ahead of its Sync */
	BATCH_WRITE = 1u << 3,     /* it may have written */
	BATCH_UNCERTAIN = 1u << 4, /* it may have begun or ended a transaction block */
	BATCH_BEGINS = 1u << 5,    /* it says BEGIN, or goes on with another block */
	BATCH_ENDS = 1u << 6,      /* it says COMMIT, ROLLBACK or the like */
};

/* Why a batch may be run again. */
enum replay {
	REPLAY_NOT,
	REPLAY_HERE,     /* its plan may be stale; an error at that point has changed nothing */
	REPLAY_ANYWHERE, /* a lone read */
};

struct exchange {
	struct list link; /* in worker->spare, while unused; in worker->seeking */
	struct client *client;
	struct dispatch dispatch;
	struct route *route;     /* of the batch under way; NULL: one endpoint */
	double last_write;       /* that it has to see: see struct demand */
	struct need need;        /* what else it has to */
	uint64_t key;            /* of what it writes; 0: none, or several */
	double timeout;          /* s, of the route that the policy has given last; 0: none;
	                            `timeouts` has those of what is under way */
	struct route *mirror;    /* likewise: where a copy of it goes; NULL: nowhere */
	bool judged;             /* the policy has been asked of the batch that goes next */
	unsigned block_effects;  /* of what began the block that is under way */
	struct judged_as *said;  /* by the policy, for statement_log.h; NULL: nobody wants it */
	struct tables *tables;   /* that were written since the last transaction; NULL: none yet */
	struct server *server;   /* NULL: choosing, or refused */
	struct session *session; /* the server's */
	char sqlstate[6];        /* set: no server could be had */
	char message[256];
	const char *hint;  /* beside it; static; NULL: none */
	uint64_t excluded; /* endpoints that will not do for the batch under way */
	double since;      /* the batch was begun anew: when it began to wait; 0: it was not */
	bool told;         /* the client knows that it waits */
	bool reloaded;     /* a transaction is under way that began by another script: what it has
	                      written was noted for that script's scopes */

	/* The state between the two. */
	bool choosing_now; /* inside of dispatch_start() */
	bool chosen;       /* the server was chosen for the batch that comes first in client->in */
	bool open;         /* an extended batch without its Sync yet */
	bool failed_open;  /* and an error was among its answers: the server ignores what is left */
	bool flushed;      /* Flush was sent on our own account, to hear of it */
	bool copy_in;      /* the server reads CopyData */
	bool drop_rest;    /* the rest of the current message is not the client's */
	bool surplus;      /* the server said more than was asked: it is going */
	bool ended;        /* it went when all but ReadyForQuery had come */
	bool fatal;        /* the server said FATAL; its end follows */
	bool errored;      /* an error was forwarded for the answer that is awaited first */
	char farewell[6];  /* the SQLSTATE of a FATAL that was not forwarded as such; "" */
	bool soiled;       /* the server may have settings that nobody knows of: to be washed */
	bool wrote;        /* something that may write has gone to this server */
	char status;       /* of the last ReadyForQuery */
	bool timed_out;    /* query_timeout has passed: the batch is being cancelled, */
	bool by_policy;    /* or the timeout of the policy's route */
	bool cancelled;    /* to be cancelled, once our own queries ahead of it are answered */
	/* When, by the worker's coarse clock: the batch under way was sent, the block was begun,
	 * the last answer came. */
	double batch_since, block_since, idle_since;
	bool watching;           /* what passes is a text that was not read, */
	struct long_text text;   /* so far */
	size_t passing;          /* bytes of the client's current message still to pass */
	size_t rest;             /* bytes of the server's current message still to pass */
	struct buffer to_server; /* what the server does not take yet */
	struct buffer pending;   /* received from it, an incomplete message */

	/* Queries of ours under way: a ring of enum errand. */
	unsigned errand_first, errand_count;
	uint8_t errands[RELAY_ERRANDS];
	bool asking;           /* one of them is about the session: nothing may change it now */
	bool asked_pins;       /* the question is about pins, too */
	bool drew;             /* the client may have drawn from a sequence there */
	unsigned asked_rows;   /* rows of its answer that have come */
	bool discarded;        /* DISCARD ALL was done */
	bool was_reset;        /* RESET, or SET ... TO DEFAULT, perhaps */
	char owed;             /* the status of a ReadyForQuery that is kept back; NUL: none */
	unsigned effects;      /* of what ran since the session was last looked at */
	struct buffer touched; /* names of settings that were changed, perhaps; each with its NUL */
	uint32_t touching;     /* 1 + the last batch that added to them, */
	size_t touched_before; /* and how much was there before it */
	struct buffer reset;   /* those that were RESET, likewise */
	bool reset_check;      /* some may have been: only the server knows which, */
	bool reset_local;      /* in this transaction alone */

	/* The client's batches under way. They are counted: batch `answered` is the first of them.
	 */
	unsigned first, outstanding;
	uint8_t flags[RELAY_PIPELINE]; /* a ring: of the awaited answers, enum batch_flag */
	uint8_t open_flags;            /* of what has gone out of the batch that is open */
	struct measure measuring;      /* of that batch */
	double measured;               /* when the last answer that was measured had come */
	uint32_t pushed, answered;     /* answers ever awaited, and had */
	uint32_t sending;              /* the batch that is being rewritten */
	uint32_t sent, completions;    /* completions of the batch being sent, being answered */
	uint32_t expected;             /* completions of the batch sent last; 0: not known */
	uint32_t settling;             /* what names mean is settled when so many are answered */
	struct edits edits;

	struct asked *asked; /* asked.h: a ring like `flags`; NULL: nobody wants to know */

	/* The last batch, as long as it may be run again. */
	enum replay replay;
	bool decided; /* some of the response was forwarded, or nothing can be run again */
	bool replaying;
	struct buffer held;                 /* the response so far, while undecided */
	struct buffer begin;                /* SQL that has begun the block ahead of it */
	struct statement *named;            /* the last that it named; not owned */
	struct statement *replay_statement; /* that its text is; owned */
	struct batch replay_batch;
	struct buffer replay_long; /* its bytes, if they are too many for: */
	/* What follows is not cleared for a new exchange. */
	uint8_t replay_bytes[RELAY_AT_HAND];
	struct measure measures[RELAY_PIPELINE]; /* rings, as `flags` */
	double timeouts[RELAY_PIPELINE];         /* of the policy's routes; 0: none */
};

/* Takes what it can of `bytes`; *used says how much. ST_OK: go on reading. ST_AGAIN: what is left
 * must wait; client_resume() follows. ST_CLOSED: the client is gone. */
enum status relay_take(struct client *c, const uint8_t *bytes, size_t size,
                       size_t *used) MUST_CHECK;

/* A cancel request for this server has ended: what had to wait for that goes on. */
void relay_cancel_done(struct server *server);

/* The client has taken all that was buffered for it: the server may be read again. */
void relay_drained(struct client *c);

/* Whether an answer is awaited. */
bool relay_busy(const struct client *c);

/* Whether a message has gone to the client in part: anything else would be taken for its rest. */
bool relay_torn(const struct client *c);

/* The clusters are about to be others: the search for a server, if there is one, ends. True: it is
 * to be begun anew by relay_seek_again(), which keeps its place. */
bool relay_stop_seeking(struct exchange *x);
void relay_seek_again(struct exchange *x);
/* Whether the server waits for what the client has yet to send: the rest of a message, or COPY's
 * data.
 */
bool relay_starves(const struct client *c);

/* The client goes: its server is given back, cleaned where it carries state, or closed where work
 * is under way. */
void relay_abandon(struct client *c);

/* An exchange for `c`, fresh; NULL: out of memory. And its end. */
struct exchange *exchange_new(struct client *c);
void exchange_free(struct exchange *x);
void exchange_free_spare(struct worker *w);
void exchange_push(struct exchange *x, uint8_t flags);

/* CopyInResponse: the Syncs that were sent ahead of the copy's end are ignored by the server, so
 * they have no answer (55.2.6). */
void exchange_begin_copy_in(struct exchange *x);

/* Whether an awaited answer may begin or end a block. */
bool exchange_uncertain(const struct exchange *x);

/* attach.c */
void relay_attach(struct exchange *x);
bool relay_to_server(struct exchange *x, const uint8_t *bytes, size_t size);
void relay_choose(struct exchange *x, struct route *route, struct endpoint *endpoint, size_t bytes);

/* Ends the exchange at a quiet point, then lets the client go on. */
void relay_detach(struct exchange *x);

/* The server's side, relay_server.c. */
void relay_on_server_event(struct server *server, int events);

/* Sends what waits to be said in the router's own words. False: the client is gone. */
bool relay_say_due(struct exchange *x);

/* Nothing is awaited and nothing ties the client to its server: true where it was given back, and
 * nothing of the exchange may be touched any more. */
bool relay_settle(struct exchange *x);
void relay_give_back(struct worker *w, struct server *server, bool reusable);

/* relay.c: sends the batch where it belongs, or refuses it. ST_AGAIN: it has to wait. */
enum status relay_route_batch(struct client *c, const struct batch *b,
                              const uint8_t *bytes) MUST_CHECK;

/* Refuses the batch at hand: the client gets one error, and where the batch's Sync is still to come
 * nothing counts until then. A block that was begun here has failed. */
void relay_refuse_batch(struct client *c, const struct batch *b, const char *sqlstate,
                        const char *message, const char *hint);

/* A text passes that was not read: what it may leave behind pins. */
void relay_watch(struct exchange *x, const uint8_t *bytes, size_t size);

/* The batch's bytes, rewritten for the server where they name statements. */
enum status relay_send_batch(struct exchange *x, const struct batch *b,
                             const uint8_t *bytes) MUST_CHECK;

/* relay_repair.c */
void relay_forget_replay(struct exchange *x);
void relay_note_replay(struct exchange *x, const struct batch *b, const uint8_t *bytes);
void relay_lost(struct exchange *x);
void relay_tally(const struct exchange *x, enum counter counter); /* for the client's cluster */

enum repaired {
	REPAIRED_NOT,
	REPAIRED_HERE,      /* it is being run again on the same server */
	REPAIRED_ELSEWHERE, /* and nothing of the exchange may be touched any more */
};

/* An error is the first of a response that could be taken back. */
enum repaired relay_repair(struct exchange *x, const uint8_t *body, size_t size);
void relay_replay(struct exchange *x);
void relay_cancel_wait(struct exchange *x); /* the client cancels while a server is looked for */

#endif
