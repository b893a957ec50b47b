/* refusal.c - see refusal.h. */
/* SPDX-License-Identifier: MIT */
#include "router/refusal.h"

#include "router/rewrite.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a standby takes; it refuses temporary tables and LISTEN itself. */
#define TAKEN (PIN_ADVISORY_LOCK | PIN_CURSOR | PIN_PREPARE | PIN_LOAD | PIN_SESSION)

/* Fails anywhere, in whatever state the session is: it is no SQL. */
#define STAND_IN "refused by moongate"

bool refusal_is_due(const struct exchange *x, const struct batch *b)
{
	return b->pins & TAKEN && x->status == 'T' && x->server->endpoint->role == ROLE_REPLICA;
}

static const char *name_of(unsigned pins)
{
	if (pins & PIN_ADVISORY_LOCK)
		return "a session-level advisory lock";
	if (pins & PIN_CURSOR)
		return "a cursor WITH HOLD";
	if (pins & PIN_PREPARE)
		return "PREPARE";
	return pins & PIN_LOAD ? "LOAD" : "what changes the session";
}

static enum status put_stand_in(const struct batch *b, struct buffer *out)
{
	static const char text[] = STAND_IN "\0\0";
	if (!b->extended)
		return message_query(out, STAND_IN, strlen(STAND_IN));
	enum status status = message_parse(out, "", text, sizeof text);
	return status == ST_OK ? message_bare(out, b->end == BATCH_SYNC ? 'S' : 'H') : status;
}

static struct edit edit_of(const struct exchange *x, const struct batch *b,
                           const struct verdict *rejection)
{
	char message[EDIT_SQLSTATE + 512];
	if (rejection)
		snprintf(message, sizeof message, "%s%s", rejection->sqlstate, rejection->message);
	else
		snprintf(message, sizeof message,
		         "0A000%s is not possible in a block that runs on a replica",
		         name_of(b->pins));
	return (struct edit){.action = rejection ? EDIT_REJECTED : EDIT_REFUSED,
	                     .batch = x->sending,
	                     .after = x->sent,
	                     .name = strdup(message)};
}

enum status refusal_send(struct exchange *x, const struct batch *b, const struct verdict *rejection)
{
	struct buffer out = {0};
	const struct edit edit = edit_of(x, b, rejection);
	enum status status = edit.name ? edits_push(&x->edits, &edit) : ST_ENOMEM;
	if (status == ST_OK)
		status = put_stand_in(b, &out);
	if (status == ST_OK)
		relay_to_server(x, buffer_data(&out), buffer_size(&out));
	buffer_free(&out);
	x->session->unnamed = NULL;
	if (!b->extended || b->unnamed)
		rewrite_drop_unnamed(x);
	return status;
}
