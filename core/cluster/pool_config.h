/* pool_config.h - how servers are pooled and clients limited: what moongate.cluster{} was given.
 *
 * Times are seconds. docs/configuration.md says of each option what it means to an operator. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_CLUSTER_POOL_CONFIG_H
#define MOONGATE_CLUSTER_POOL_CONFIG_H

/* When a client gives its server back. */
enum pool_mode { POOL_TRANSACTION, POOL_SESSION, POOL_STATEMENT };

const char *pool_mode_name(enum pool_mode mode); /* "transaction", "session", "statement" */

struct pool_config {
	enum pool_mode mode;
	unsigned size;        /* servers per endpoint, user and database */
	unsigned reserve;     /* as many more, once a borrower has waited for `reserve_after` */
	unsigned min_idle;    /* servers that a pool keeps open, used or not */
	double reserve_after; /* s */
	unsigned max_per_database, max_per_user; /* servers of the whole cluster; 0: no limit */
	unsigned max_per_endpoint;               /* servers of all pools; 0: no limit */
	double acquire_timeout;                  /* s that a borrower waits */
	double connect_timeout;                  /* s until opening a connection counts as failed */
	double idle_timeout; /* s after which an unused server is closed; 0: never */
	double max_lifetime; /* s after which a server is closed when it is given back; 0: never */
	double lifetime_jitter; /* 0..1: by how much of it each server's own lifetime is shortened
	                         */
	double notice_after;    /* s of waiting after which a borrower is told; 0: never */
	unsigned prepared_statements; /* kept per server; 0: no limit */
};

#define POOL_DEFAULTS                                                                              \
	((struct pool_config){.size = 10,                                                          \
	                      .reserve_after = 3,                                                  \
	                      .acquire_timeout = 5,                                                \
	                      .connect_timeout = 5,                                                \
	                      .idle_timeout = 600,                                                 \
	                      .max_lifetime = 3600,                                                \
	                      .lifetime_jitter = 0.1,                                              \
	                      .notice_after = 5,                                                   \
	                      .prepared_statements = 200})

/* What holds for one client; its user's word wins over its database's, and that over the
 * cluster's. A time of 0 is no limit. */
struct session_config {
	enum pool_mode mode;
	unsigned pool_size;
	double query_timeout;            /* s that one batch may run */
	double transaction_timeout;      /* s that a block may take */
	double idle_transaction_timeout; /* s that a block may rest between two statements */
	double client_idle_timeout;      /* s that a client may be silent outside of a block */
};

/* Which fields of a session_config an override sets. */
enum session_option {
	SESSION_POOL_MODE = 1u << 0,
	SESSION_POOL_SIZE = 1u << 1,
	SESSION_QUERY_TIMEOUT = 1u << 2,
	SESSION_TRANSACTION_TIMEOUT = 1u << 3,
	SESSION_IDLE_TRANSACTION_TIMEOUT = 1u << 4,
	SESSION_CLIENT_IDLE_TIMEOUT = 1u << 5,
};

/* For the user, or the database, of this name. */
struct session_override {
	const char *name;
	unsigned set; /* enum session_option */
	struct session_config values;
};

#endif
