/* session.h - one client of the load: a thread with a connection of its own that writes, reads and
 * checks what it reads. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CHAOS_SESSION_H
#define MOONGATE_CHAOS_SESSION_H

#include "register.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define PORTS 8 /* nodes that may answer */

/* What was acknowledged and must be seen by a read that is sent afterwards. */
enum promise {
	PROMISE_NONE,
	PROMISE_OWN, /* the session's own writes */
	PROMISE_ANY, /* everybody's */
};

struct load_config {
	const char *conninfo, *table, *ledger;
	unsigned keys;
	enum promise promise;
	bool monotonic; /* a session never sees less than it has seen */
	double bounded; /* s: reads see all that was acknowledged so long ago; 0: no such promise */
	double settle;  /* s after the last write until replicas count as having caught up */
	double burst, pause; /* s: everybody writes for so long, then nobody; 0: always */
	double read_pause;   /* s after a few reads */
	double write_pause;  /* s between two writes of a session */
	double blocks;       /* the share of writes in a BEGIN ... COMMIT */
	int64_t reads;       /* the load ends after so many; 0: when told to */
	double seconds;      /* and not before */
};

/* What all sessions share. */
struct load {
	struct load_config config;
	struct registers *registers;
	double began;
	atomic_bool stop;
	atomic_bool lagging; /* replicas are held back: reads on the primary are nobody's fault */
	atomic_llong reads;
	atomic_int complaints; /* lines written to standard error so far */
};

enum session_kind { SESSION_READER, SESSION_WRITER, SESSION_MIXED };

/* What became of a write. */
enum outcome {
	OUTCOME_ACKNOWLEDGED,
	OUTCOME_FAILED,  /* an error that says that it was not done */
	OUTCOME_UNKNOWN, /* an error that says that nobody knows */
	OUTCOME_SILENT,  /* the connection ended without a word */
	OUTCOMES
};

struct write_record {
	enum outcome outcome;
	char sqlstate[6];
	double began, ended;
};

/* Who answered, and how often: all reads, and those that replicas were fit for. */
struct port_count {
	int port;
	int64_t answers, eligible;
};

struct session {
	struct load *load;
	unsigned number;
	enum session_kind kind;
	pthread_t thread;
	unsigned random;
	_Atomic double busy_since; /* 0: nothing is under way */
	atomic_bool done;

	int64_t *own, *seen; /* by key: last value written; greatest value read */
	double last_write, next_write;

	int64_t reads, violations, read_errors, reconnects, refusals;
	double slowest_read, slowest_write;
	struct port_count ports[PORTS];
	struct write_record *writes;
	size_t write_count, write_room;
};

double load_now(void); /* s, CLOCK_MONOTONIC */

/* Starts its thread, which ends some time after `load->stop`. */
void session_start(struct session *s, struct load *load, unsigned number, enum session_kind kind);

/* Once it is done. */
void session_free(struct session *s);

#endif
