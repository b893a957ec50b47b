/* cluster.h - the endpoints of one primary and its replicas, with their health, pools and routes.
 */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_CLUSTER_H
#define MOONGATE_CLUSTER_CLUSTER_H

#include "base/list.h"
#include "base/status.h"
#include "cluster/breaker.h"
#include "cluster/catalogs.h"
#include "cluster/context.h"
#include "cluster/counters.h"
#include "cluster/freshness.h"
#include "cluster/health.h"
#include "cluster/news.h"
#include "cluster/notices.h"
#include "cluster/pool_config.h"
#include "cluster/quota.h"
#include "cluster/route.h"
#include "cluster/session_config.h"
#include "cluster/topology.h"
#include "sql/facts.h"

#include <stddef.h>

struct addresses;
struct conninfo;
struct patroni;
struct patroni_config;
struct pool;
struct probe;
struct party;
struct statistics;
struct writes;

#define CLUSTER_ENDPOINTS 64 /* at most: sets of endpoints are bits of a word */

/* What an endpoint may be used for, by its place in the topology. */
enum standing {
	STANDING_FINE,
	STANDING_DOUBTFUL, /* on a timeline that was left, or one of several primaries: its data may
	                      be none of the cluster's; nothing but consistency `eventual` */
	STANDING_FOREIGN,  /* of another PostgreSQL system: nothing */
};

struct endpoint_config {
	const char *url; /* postgres://user:password@host:port/database?option=..., or key=value
	                    pairs */
	const char *host, *port; /* NULL: as the URL says; else it says neither */
	const char *name;        /* NULL: host:port */
	const char *region;      /* NULL: none */
	double weight;           /* >= 0 */
	enum role role;          /* where to start: the first probe decides */
	bool lenient; /* a wrong URL makes it an endpoint that is down, and is no error */
};

/* On what waits for an endpoint, or for the end of a pause, at the same time; 0: the default. */
struct hold_limit {
	unsigned queries;
	uint64_t bytes;
};

#define HOLD_LIMIT_DEFAULTS ((struct hold_limit){.queries = 5000, .bytes = 64u << 20})

struct cluster_config {
	const struct endpoint_config *endpoints;
	size_t endpoint_count;
	struct pool_config pool;
	struct session_config
	        session; /* the timeouts; its pool's mode and size are taken from `pool` */
	struct session_overrides users, databases; /* a user's win over a database's */
	struct health_config health;
	struct hold_limit hold_limit;
	struct catalogs_config catalogs;
	struct breaker_config breaker;
	bool loose; /* its endpoints are what they are: none has to be the primary, and nobody
	               looks for one */
	const struct patroni_config *patroni; /* who says which endpoints there are, beside those
	                                         above; NULL: nobody */
};

/* One PostgreSQL instance. Its fields are for reading; they change only in the cluster room. */
struct endpoint {
	struct cluster *cluster;
	unsigned index;  /* its place in the cluster: bit 1 << index in sets of endpoints */
	unsigned serial; /* of this one alone, among all that ever had a place in the cluster */
	char *name, *host, *port, *region;
	double weight;
	struct conninfo *conninfo; /* where and how to connect; holds the secrets */
	enum role role;            /* as last probed, as configured before */
	bool configured;           /* as the primary */
	bool awaited;              /* probes have begun, and none has come back yet */
	bool refuses;              /* the last probe was not let in */
	bool read_only;            /* it takes no writes, whatever its role */
	bool drained;              /* no new work: it was ordered so, or it is absent */
	bool ordered_out;          /* see endpoint_drain() */
	bool absent;               /* it has left, see membership.h, and is shown to nobody */
	enum standing standing;
	uint32_t timeline;    /* as last probed; 0: not known */
	uint64_t system;      /* its system identifier; 0: not known */
	double started;       /* when its postmaster did, by its own clock; 0: not known */
	unsigned incarnation; /* grows whenever its data may have gone back, or be others': what was
	                         known of its freshness does not hold any more */
	struct health health;
	struct breaker breaker; /* of its traffic */
	double latency;         /* s, moving average of the probes' round trips; 0: not known yet */
	double lag;         /* s behind the primary by the replica's own account; 0 on a primary */
	uint64_t position;  /* WAL: inserted (primary) or replayed (replica) */
	uint64_t lag_bytes; /* behind the primary's last known position */
	double fresh_as_of; /* see freshness.h; -INFINITY: not known. INFINITY on a primary */
	double chase;       /* s until it is probed again while reads wait for it to catch up */
	unsigned in_flight; /* servers lent */
	unsigned waiting;   /* borrowers in its pools' queues */
	struct pool *pools; /* uthash, by user and database */
	unsigned pool_size; /* of each of them, see pools_resize(); 0: as configured */
	struct pool *pool_used; /* of these, the one that was asked for last; NULL: none */
	struct quota quota;     /* on the servers of all of them */
	struct probe *probe;
	struct addresses *addresses; /* of its host */
	ev_timer trimming;           /* due: idle servers are to be looked through */
	unsigned told;               /* as news.h has told of it last */
	double reported;             /* when a probe or traffic last told of it */
	double went_down;     /* the last time, clock_now(): older servers are not to be trusted */
	char last_error[256]; /* why it went down, without secrets; empty while it is up */
};

/* Copies of reads: see moongate.mirror(). */
struct mirror_counts {
	uint64_t done, failed; /* answered; by an error, or not at all */
	uint64_t dropped;      /* not sent: too many at once, no server in time, too large */
};

struct cluster {
	struct context *context;
	struct pool_config pool;
	struct session_configs *sessions;
	struct health_config health;
	struct breaker_config breaker;
	struct endpoint **endpoints; /* CLUSTER_ENDPOINTS places; each a block of its own, for
	                                others keep pointers to them */
	size_t endpoint_count;
	struct patroni *patroni; /* NULL: the endpoints stay as configured */
	enum topology_state topology;
	struct endpoint *primary; /* see cluster_primary() */
	uint64_t system;          /* that all its endpoints share; 0: not known yet */
	bool loose;               /* see cluster_config */
	bool over;         /* it takes no new work, see adopt.h: nobody looks for its primary */
	bool reviewed;     /* cluster_review() has run, so that changes are news */
	bool suspect;      /* the primary is not well */
	double suspected;  /* since when */
	double complained; /* when a split was last logged */
	struct freshness freshness;
	struct catalogs *catalogs; /* of its databases */
	struct writes *writes;     /* when what was written; NULL: no route has such a scope */
	unsigned scopes;           /* that routes have beside the session: bits 1 << enum scope */
	bool keeps_reads;          /* a route has the level `session` */
	double wanted;        /* replicas that are not fresh as of then are probed again soon */
	struct route *routes; /* all that were made, for freeing */
	struct route *default_read;  /* replicas by weight, read-your-writes, else the primary */
	struct route *default_write; /* the primary */
	bool introduced;      /* a client has said who it is, so that probes know what to say */
	char *probe_user;     /* what the last client connected as: for probes of endpoints */
	char *probe_database; /* whose URL names none; NULL: not known yet */
	struct list parked;   /* dispatches that wait, in arrival order: see dispatch.h */
	struct hold_limit hold_limit;
	unsigned endpoints_made; /* ever: each has a serial number */
	unsigned held;           /* of the parked ones, those that hold_limit counts */
	uint64_t held_bytes;     /* and their bytes */
	bool paused;             /* no new work is sent: see pause.h */
	bool paused_quiet;       /* and the log has told that none is under way any more */
	double paused_since;
	struct news news;              /* who is told of changes */
	struct notices notices;        /* and of what servers say */
	struct statistics *statistics; /* what statements have cost; never NULL */
	struct counters counters;
	struct mirror_counts mirrored;
	struct counters counters_told;                /* as the log has told of them last */
	struct quotas *database_quotas, *user_quotas; /* on servers, whichever their endpoint */
	struct list blocked; /* pools with waiters for whom a limit lets no server be opened */
	const char *name;    /* for logs; "" */
	struct list retired; /* for the owner of one that takes no new work: see adopt.h */
};

/* Checks and copies `config`. On failure NULL, and `error` (error_size bytes) says what is wrong
 * and what would be right, without secrets. Nothing connects before cluster_start(). */
struct cluster *cluster_new(struct context *context, const struct cluster_config *config,
                            char *error, size_t error_size);

/* Starts the probes. */
void cluster_start(struct cluster *cluster);

/* NULL is fine. Waiting borrowers are told ST_CLOSED; all borrowed servers must have come back. */
void cluster_free(struct cluster *cluster);

/* For the cluster room: one endpoint, for that place. NULL, and `error` says what is wrong. Its
 * servers must have come back when it is freed. */
struct endpoint *endpoint_new(struct cluster *cluster, size_t index,
                              const struct endpoint_config *config, char *error, size_t error_size);
void endpoint_free(struct endpoint *endpoint);

/* What a query without a verdict gets. */
struct route *cluster_default_route(const struct cluster *cluster, enum intent intent);

/* What holds for a client of this user in this database (either may be NULL). The pointer is good
 * as long as the cluster. */
const struct session_config *cluster_session_config(const struct cluster *cluster, const char *user,
                                                    const char *database);

/* Server connections that the configuration asks room for: one pool per endpoint, and the probes.
 * More users and databases have more pools. */
unsigned cluster_server_demand(const struct cluster *cluster);

/* By name or by "host:port"; NULL: none, or it is absent. */
struct endpoint *cluster_endpoint(const struct cluster *cluster, const char *name);

/* The endpoint that is the primary as far as is known, which may be down, or not have answered yet.
 * NULL: none, or several. Whether it takes writes is a matter of cluster->topology. */
static inline struct endpoint *cluster_primary(const struct cluster *cluster)
{
	return cluster->primary;
}

/* For those who change endpoints, or their number: finds the primary anew, and each endpoint's
 * standing. Calls nobody but the log. */
void cluster_review(struct cluster *cluster);

/* The primary is not well, or there is none, and that is not long ago, or somebody waits for one:
 * the other endpoints are probed every PROBE_SEARCH seconds, so that a promotion is soon seen. */
bool cluster_searches(const struct cluster *cluster, double now);

/* Why there is no primary that takes writes: part of a sentence; NULL: there is one. */
const char *cluster_lack(const struct cluster *cluster);

/* Why a query that needs the primary should not even wait for one: a sentence; NULL: it may. */
const char *cluster_refusal(const struct cluster *cluster);

/* What one answered probe brought back. */
struct answer {
	enum role role;
	bool read_only;
	uint32_t timeline, segment_size;
	uint64_t system;
	double started;
	uint64_t position; /* inserted or replayed, see struct endpoint */
	double replay_age; /* s since the last replayed commit was made; 0 on a primary */
	double sent;       /* when the question left */
	double latency;    /* s until the answer was read */
	double paused;     /* s of it in which nobody could have read it */
};
void endpoint_init(struct endpoint *endpoint); /* for endpoint_new(): what is not zero */
void endpoint_trim(struct endpoint *endpoint); /* soon, idle servers that may not rest are closed */
void endpoint_answered(struct endpoint *endpoint, const struct answer *answer);

/* A write was seen done: it is noted for the scopes that routes have, and probes hurry, so that
 * replicas are known to have it soon after they do. */
void cluster_wrote(struct cluster *cluster, const struct party *who, double now);

/* The last write that a read of this route must see; `own` is that of its session, which counts in
 * every scope but a key's: it may have written what a view hides. */
double cluster_last_write(const struct cluster *cluster, const struct route *route,
                          const struct party *who, double own);

/* A position that holds all that was committed before `moment`: the first that the primary has told
 * since. False: it has told none yet. */
bool cluster_position(const struct cluster *cluster, double moment, struct position *position);

/* A read waits for replicas that are fresh as of `moment`: probes hurry until there are some. */
void cluster_want(struct cluster *cluster, double moment);

/* It answered, but let no probe in: alive, its role and position are not known anew. `as_nobody`:
 * the probe had nobody's name to give, which will change: its role is awaited still. */
void endpoint_refused(struct endpoint *endpoint, const char *reason, bool as_nobody);

/* A client who calls itself so begins to wait for an endpoint; either may be NULL. The primary is
 * searched for; probes that were refused for want of a name try this one. */
void cluster_awaited(struct cluster *cluster, const char *user, const char *database);

/* It let this user into this database: probes of a URL that names none go the same way. */
void endpoint_admitted(struct endpoint *endpoint, const char *user, const char *database);

/* A sign from a probe or from traffic. `reason` holds no secrets; it is logged. */
void endpoint_report(struct endpoint *endpoint, bool ok, const char *reason);

/* Probed at once, unless it just was, or is not usable. */
void endpoint_check(struct endpoint *endpoint);

/* A server of it has ended that nobody used: a failure, if not the one that takes it down. It is
 * checked, and until then its freshness is not known: it may have crashed, and be back. */
void endpoint_suspect(struct endpoint *endpoint);

/* The same of a server at work: a failure of traffic, too. */
void endpoint_lost(struct endpoint *endpoint);

/* A server could not be opened. `sqlstate` is PostgreSQL's refusal, or "". */
void endpoint_unreachable(struct endpoint *endpoint, const char *sqlstate, const char *reason);

/* It kept its borrower waiting for a connection in vain. */
void endpoint_failed(struct endpoint *endpoint);

/* A borrower gave its server back in good order. */
void endpoint_served(struct endpoint *endpoint);

/* There is news of it: probed at once, though it be down. */
void endpoint_retry(struct endpoint *endpoint);

/* Its host name stands for other addresses now. */
void endpoint_moved(struct endpoint *endpoint);

/* Drained, it gets no new work; what is under way ends; its idle servers are closed, soon. Probes
 * go on. A drained primary is waited for as if it were down. */
void endpoint_drain(struct endpoint *endpoint, bool drained);

/* Seconds since the endpoint was last known to hold all commits; 0 on a primary, INFINITY: unknown.
 */
double endpoint_staleness(const struct endpoint *endpoint, double now);

#endif
