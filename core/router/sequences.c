/* sequences.c - see sequences.h. */
/* SPDX-License-Identifier: MIT */
#include "router/sequences.h"

/* It draws nothing, and takes no snapshot; ours must not take one ahead of it: a block begins with
 * LOCK so as to see what was there when it got the lock. */
static bool only_locks(const struct batch *b)
{
	return b->facts && b->facts->kind == SQL_LOCK;
}

/* More may follow that is undone, or done, together with it. */
static bool in_block(const struct exchange *x, const struct batch *b)
{
	return x->status == 'T' || b->statements > 1 || exchange_uncertain(x);
}

bool sequences_are_due(const struct exchange *x, const struct batch *b)
{
	const struct client *c = x->client;
	if (x->drew || x->failed_open)
		return false;
	if (b->effects & EFFECT_SEQUENCE)
		return true;
	if (!b->writes || x->open || !c->catalog || c->pins & RELAY_PIN_SESSION || only_locks(b))
		return false;
	bool may_ask = c->catalog->asks || b->effects & EFFECT_DDL; /* what it makes, too */
	return c->catalog->behind || (may_ask && in_block(x, b));
}

void sequences_sent(struct exchange *x, const struct batch *b)
{
	if (b->effects & EFFECT_SEQUENCE)
		catalogs_asks(x->client->catalog);
	x->drew |= b->writes && !(b->statements == 1 && only_locks(b));
}
