/* judge.h - where a batch should go: the policy's word, as far as it is free to choose. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_JUDGE_H
#define MOONGATE_ROUTER_JUDGE_H

#include "router/batch.h"
#include "router/client.h"

struct judgment {
	struct verdict verdict;
	struct need need;  /* see struct demand */
	double last_write; /* likewise */
	uint64_t key;      /* that the policy gives it; 0: none */
	char wrong[256];   /* a rejection of ours */
};

/* Asks the policy; what must be on the primary goes there whatever it says, unless it rejects. */
void judge_batch(struct client *c, const struct batch *b, struct judgment *j);

/* Of a batch that goes where its client's block or session is: whether the policy may reject it. A
 * block can always be ended. */
bool judge_may_reject(const struct client *c, const struct batch *b);

/* It is asked. False: it does reject, as the verdict says. */
bool judge_permits(struct client *c, const struct batch *b, struct judgment *j);

/* What is known of the statement that decides; valid until the next question to the classifier. */
const struct facts *judge_facts(const struct client *c, const struct batch *b);

/* Tells the policy of an error; `query` lacks only what the client knows. */
void judge_tell_error(struct client *c, struct query *query, const struct query_error *error);

/* Whether that lets the batch run on this endpoint. */
bool judge_agrees(const struct client *c, const struct judgment *j, const struct endpoint *e);

#endif
