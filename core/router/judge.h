/* judge.h - where a batch should go: the policy's word, as far as it is free to choose. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_JUDGE_H
#define MOONGATE_ROUTER_JUDGE_H

#include "router/batch.h"
#include "router/client.h"

/* Asks the policy; what must be on the primary goes there whatever it says, unless it rejects. */
struct verdict judge_batch(struct client *c, const struct batch *b);

/* Whether the verdict lets the batch run on this endpoint. */
bool judge_agrees(const struct client *c, const struct verdict *v, const struct endpoint *e);

#endif
