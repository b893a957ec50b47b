/* need.h - how fresh a read has to be: levels, scopes, and what one read asks for. Pure.
 *
 * A route names a level and a scope. Whoever reads may ask for another level, for a position that
 * has to be reached, and (level `session`) for no step back behind what it has read. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_NEED_H
#define MOONGATE_CLUSTER_NEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum consistency {
	CONSISTENCY_EVENTUAL,
	CONSISTENCY_BOUNDED,          /* now - fresh_as_of <= max_staleness */
	CONSISTENCY_READ_YOUR_WRITES, /* fresh_as_of >= the last write in the scope */
	CONSISTENCY_SESSION,          /* the same, and never behind what the session has read */
	CONSISTENCY_STRONG,           /* the primary */
	CONSISTENCIES
};

/* Whose writes a read must see. */
enum scope {
	SCOPE_SESSION, /* the session's own */
	SCOPE_USER,    /* of all sessions of its user */
	SCOPE_TABLE,   /* those that may have changed the tables that it reads, whoever's */
	SCOPE_CLUSTER, /* all that were seen here */
	SCOPE_KEY,     /* those under the key that the policy has given the query */
	SCOPES
};

/* "eventual", "bounded" ... and "session", "user" ...; the arrays end with NULL. */
extern const char *const consistency_names[CONSISTENCIES + 1];
extern const char *const scope_names[SCOPES + 1];

/* False: there is no such level. */
bool consistency_of(const char *name, size_t size, enum consistency *level);

/* A place in the WAL; timeline 0: none. */
struct position {
	uint32_t timeline;
	uint64_t lsn;
};

/* As text: "timeline/LSN", such as "1/0/3000148". */
#define POSITION_TEXT 32
void position_write(struct position position, char text[POSITION_TEXT]);
bool position_read(const char *text, size_t size, struct position *position);

/* What one read asks for beyond its route. Zero asks for nothing. */
struct need {
	bool leveled; /* `level` holds instead of the route's */
	bool bounded; /* and `max_staleness` instead of the route's */
	bool has_read;
	enum consistency level;
	double max_staleness;        /* s */
	struct position after;       /* this has to be there */
	double last_read;            /* when the session's last read ended, */
	unsigned reader;             /* the endpoint that it was from, by its index, */
	unsigned reader_incarnation; /* and which life of that endpoint */
};

/* What there is to know of a replica. */
struct replica {
	double fresh_as_of; /* see freshness.h */
	uint32_t timeline;
	uint64_t lsn; /* replayed */
	unsigned index, incarnation;
};

/* Whether a read finds there what it needs, at `level` (its own, or its route's) with
 * `max_staleness`; `since` is the last write in its scope, -INFINITY: none. */
bool need_met(const struct need *need, enum consistency level, double max_staleness, double since,
              double now, const struct replica *replica);

/* What a statement's own tags ask for (`consistency`, `max_staleness`, `after` in moongate's form
 * of tags.h), put into `need`. False: `wrong` says what cannot be understood, and what could. */
bool need_of_tags(struct need *need, const char *sql, size_t size, bool standard_strings,
                  char *wrong, size_t wrong_size);

/* One of these by its name, as settings have it. False: as above. */
bool need_set_level(struct need *need, const char *value, size_t size, char *wrong,
                    size_t wrong_size);
bool need_set_staleness(struct need *need, const char *value, size_t size, char *wrong,
                        size_t wrong_size);
bool need_set_after(struct need *need, const char *value, size_t size, char *wrong,
                    size_t wrong_size);

#endif
