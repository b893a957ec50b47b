/* query.h - what statements of clusters and of connections have in common. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_API_QUERY_H
#define MOONGATE_API_QUERY_H

#include "api/api.h"

#define POLICY_REJECTION 512 /* bytes of text that a rejection takes at most */

/* One for this statement, which `query` has a copy of then; its timeout runs. NULL: out of memory.
 */
/* Whether the caller has given it a statement that is none; it fails with that then. */
bool query_is_wrong(struct moongate_pending *p, const struct moongate_statement *s);

struct moongate_pending *query_new(struct moongate_cluster *c, const struct moongate_statement *s,
                                   moongate_done_fn *fn, void *arg, struct exec_query *query);

void query_note_facts(struct moongate_pending *p, const struct facts *facts);

/* For the operations of statements. */
extern const struct operation_advice query_advice;

/* What the policy is asked, and what it says. */
struct query query_question(struct moongate_cluster *c, struct moongate_pending *p,
                            const struct facts *facts, const struct exec_query *query);
struct verdict query_decide(struct moongate_cluster *c, const struct query *question);

/* It will be told that; its statement is of no use any more. */
void query_reject(struct moongate_pending *p, const struct verdict *v);

#endif
