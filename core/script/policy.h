/* policy.h - the user's Lua function, asked where a query goes, behind a fence.
 *
 * The fence: a budget of VM instructions that the script's own pcall cannot swallow, and of CPU
 * time; in the router also one of memory. An error never costs the query: it is counted, logged
 * (rate-limited), and the cluster's default route is used; `POLICY_BREAKER` errors in a row take
 * the script out of the path. Nothing outside the script room knows that the policy is Lua. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_SCRIPT_POLICY_H
#define MOONGATE_SCRIPT_POLICY_H

#include "cluster/cluster.h"
#include "sql/facts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_BREAKER      100    /* errors in a row */
#define POLICY_INSTRUCTIONS 100000 /* VM instructions per call */
#define POLICY_SECONDS      0.05   /* of CPU time: what instructions do not tell */

/* What one call may ask for in all, and the longest string that it may make; the router only, and
 * besides what the query's own text takes. */
#define POLICY_BYTES       ((size_t)16 << 20)
#define POLICY_BYTES_TEXT  "16 MiB"
#define POLICY_STRING      ((size_t)1 << 20)
#define POLICY_STRING_TEXT "1 MiB"

/* Who asks. The strings belong to the session and may be NULL. */
struct session_facts {
	const char *user, *database, *application_name, *address;
	int vars; /* reference to the Lua table `session.vars`, made at first use; 0: none yet.
	             policy_session_end() gives it back */
};

/* The block that a statement stands in. */
struct transaction_facts {
	bool read_only, deferrable;
	const char *isolation;     /* "serializable", "repeatable read"; NULL: the session's own */
	struct endpoint *endpoint; /* where it runs, perhaps of another script's cluster; NULL: its
	                              first statement is to choose */
	double age;                /* s since it began, as far as that was counted */
};

/* One question. All that it points to stays until the call returns, no longer. */
struct query {
	const struct facts *facts;
	const char *sql;
	size_t sql_size;
	bool standard_strings;
	bool writes; /* it may change data itself, whatever the intent of its block */
	bool in_transaction;
	const struct transaction_facts *transaction; /* NULL: nothing is known of it */
	bool bound;          /* it may be rejected, but goes where its block or its session is */
	unsigned parameters; /* how many the statement takes */
	uint64_t *key; /* where the key goes that the policy gives the query (scopes.h); 0: none */
	struct session_facts *session;
};

#define POLICY_RULE_NAME 96 /* bytes, with its NUL */

/* A rule of moongate.rules, or of anybody's who counts (core.rule). */
struct policy_rule {
	const char *name;
	uint64_t hits;   /* how often it has decided */
	unsigned number; /* 1 and up, in its policy; 0: of none */
};

enum verdict_kind { VERDICT_ROUTE, VERDICT_ENDPOINT, VERDICT_REJECT };

/* `route` and `endpoint` belong to the cluster; `message` is valid until the next policy_route().
 */
struct verdict {
	enum verdict_kind kind;
	bool fallback; /* the policy failed, or is out of the path: this is the default route */
	struct route *route;
	struct endpoint *endpoint;
	const char *message;
	const char *label; /* of a rejection: "reject: MESSAGE"; valid as long as `message` */
	char sqlstate[6];
	const struct policy_rule *rule; /* that has decided; NULL: none says so */
};

/* What logs and `moongate explain` call it: the route's or the endpoint's name, "reject: ...". */
const char *verdict_name(const struct verdict *verdict);

struct policy_stats {
	uint64_t calls, errors;
	bool tripped; /* out of the path */
};

struct policy;

struct verdict policy_route(struct policy *policy, const struct query *query);

struct policy_stats policy_stats(const struct policy *policy);

/* Why it has failed last: one line; "" while it never has. Valid until it fails again. */
const char *policy_error(const struct policy *policy);

/* For `moongate explain`: from now on policy_line() tells where policy_route() got its answer. The
 * policy is a router's script's. */
void policy_trace(struct policy *policy, bool on);

/* "FILE:LINE" of the script's own code that has returned last, when the policy was asked last;
 * NULL: none did, or nothing is traced. Valid until the next policy_route(). */
const char *policy_line(const struct policy *policy);

/* Examples of its own (examples.h) that it has passed when it was loaded. */
unsigned policy_examples(const struct policy *policy);

/* The rule behind `rule`, in the order in which they were made; NULL: the first, and the end. */
const struct policy_rule *policy_rule_after(const struct policy *policy,
                                            const struct policy_rule *rule);

/* Functions beside the one that routes. An error in one is counted and logged; POLICY_BREAKER in a
 * row take it out. */
enum hook { HOOK_CONNECT, HOOK_ERROR, HOOK_ENDPOINT, HOOKS };

/* Whether there is one, so that nothing need be made ready for it. */
bool policy_hears(const struct policy *policy, enum hook hook);

/* on_connect(session): what becomes of a session that begins. */
struct admission {
	enum { ADMISSION_HERE, ADMISSION_CLUSTER, ADMISSION_REJECT } kind;
	struct cluster *cluster; /* another one; NULL: the one listed as `message` */
	char sqlstate[6];
	char message[256];
};
struct admission policy_connect(struct policy *policy, struct session_facts *session);

/* on_error(query, error): a query has failed there; `endpoint` may be NULL, or of another script's
 * cluster. */
struct query_error {
	const char *sqlstate, *message;
	const struct endpoint *endpoint;
};
void policy_tell_error(struct policy *policy, const struct query *query,
                       const struct query_error *error);

void policy_session_end(struct policy *policy, struct session_facts *session);

/* Another policy decides for the session from now on, of this script or of the next one. Of its
 * `vars`, strings, numbers and booleans go along, by such keys; all of them are lost where memory
 * is short. */
void policy_session_move(struct policy *from, struct policy *to, struct session_facts *session);

#endif
