/* own.c - see own.h. */
/* SPDX-License-Identifier: MIT */
#include "router/own.h"

#include "base/clock.h"
#include "router/own_sql.h"
#include "router/relay.h"
#include "wire/message.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_POLL 0.002 /* s between looks for the position that SHOW moongate.token waits for */

enum name {
	NAME_NONE,
	NAME_CONSISTENCY,
	NAME_MAX_STALENESS,
	NAME_AFTER,
	NAME_TOKEN,
	NAME_LAST_ROUTE
};

static enum name name_of(const char *name)
{
	static const char *const names[] = {[NAME_CONSISTENCY] = "consistency",
	                                    [NAME_MAX_STALENESS] = "max_staleness",
	                                    [NAME_AFTER] = "after",
	                                    [NAME_TOKEN] = "token",
	                                    [NAME_LAST_ROUTE] = "last_route"};
	for (int i = NAME_CONSISTENCY; i <= NAME_LAST_ROUTE; i++)
		if (strcmp(names[i], name) == 0)
			return (enum name)i;
	return NAME_NONE;
}

/* What goes wrong, for the client. */
struct complaint {
	const char *sqlstate, *hint;
	char message[256];
};

static bool complain_of_name(struct complaint *wrong, const char *name)
{
	wrong->sqlstate = "42704";
	wrong->hint = "There are moongate.consistency, moongate.max_staleness, moongate.after, "
	              "moongate.token and moongate.last_route.";
	snprintf(wrong->message, sizeof wrong->message,
	         "unrecognized configuration parameter \"moongate.%s\"", name);
	return false;
}

/* `value` NULL: back to what `fallback` says. */
static bool assign(struct need *need, const struct need *fallback, enum name name,
                   const char *value, struct complaint *wrong)
{
	size_t size = value ? strlen(value) : 0, room = sizeof wrong->message;
	wrong->sqlstate = "22023";
	switch (name) {
	case NAME_CONSISTENCY:
		if (value)
			return need_set_level(need, value, size, wrong->message, room);
		need->leveled = fallback->leveled;
		need->level = fallback->level;
		return true;
	case NAME_MAX_STALENESS:
		if (value)
			return need_set_staleness(need, value, size, wrong->message, room);
		need->bounded = fallback->bounded;
		need->max_staleness = fallback->max_staleness;
		return true;
	case NAME_AFTER:
		if (value)
			return need_set_after(need, value, size, wrong->message, room);
		need->after = fallback->after;
		return true;
	case NAME_TOKEN:
	case NAME_LAST_ROUTE:
	case NAME_NONE:
		break;
	}
	wrong->sqlstate = "55P02";
	if (name == NAME_LAST_ROUTE) {
		snprintf(wrong->message, room,
		         "moongate.last_route cannot be changed: it tells where the last query "
		         "went");
		return false;
	}
	snprintf(wrong->message, sizeof wrong->message,
	         "moongate.token cannot be changed: it tells of the last write; another session "
	         "demands it with SET moongate.after");
	return false;
}

static void enter_block(struct demands *d, bool in_block)
{
	if (!in_block || d->in_block)
		return;
	d->before = d->session;
	d->in_block = true;
}

static bool run(struct client *c, const struct own_statement *s, bool in_block,
                struct complaint *wrong)
{
	static const struct need nothing;
	enum name name = name_of(s->name);
	const char *value = s->verb == OWN_RESET || s->to_default ? NULL : s->value;
	struct demands *d = demands_of(c);
	if (name == NAME_NONE)
		return complain_of_name(wrong, s->name);
	if (!d) {
		*wrong = (struct complaint){.sqlstate = "53200", .message = "out of memory"};
		return false;
	}
	struct need ignored = {0}, *need = s->verb == OWN_SET_LOCAL ? &d->local : &d->session;
	if (s->verb == OWN_SET_LOCAL && !in_block)
		need = &ignored; /* as PostgreSQL, which warns of it */
	enter_block(d, in_block);
	return assign(need, s->verb == OWN_SET_LOCAL ? &nothing : &d->start, name, value, wrong);
}

void own_reset_all(struct client *c, bool in_block)
{
	if (!c->demands)
		return;
	enter_block(c->demands, in_block);
	c->demands->session = c->demands->start;
}

/* The position of the session's last write: the first that the primary has told since. */
static bool find_token(const struct client *c, struct position *token)
{
	*token = (struct position){0};
	return c->last_write == -INFINITY ||
	       cluster_position(c->home->cluster, c->last_write, token);
}

static bool show(struct client *c, const struct own_statement *s, char *text, size_t size,
                 struct complaint *wrong)
{
	struct need need = {0};
	struct position token;
	enum name name = name_of(s->name);
	if (c->demands) {
		demands_lay(&need, &c->demands->session);
		demands_lay(&need, &c->demands->local);
	}
	snprintf(text, size, "default");
	if (name == NAME_CONSISTENCY && need.leveled)
		snprintf(text, size, "%s", consistency_names[need.level]);
	else if (name == NAME_MAX_STALENESS && need.bounded)
		snprintf(text, size, "%g", need.max_staleness);
	else if (name == NAME_AFTER)
		position_write(need.after, text);
	else if (name == NAME_TOKEN && find_token(c, &token))
		position_write(token, text);
	else if (name == NAME_LAST_ROUTE)
		last_route_text(c, text, size);
	else if (name == NAME_NONE)
		return complain_of_name(wrong, s->name);
	return true;
}

static char status_of(const struct client *c)
{
	const struct exchange *x = c->exchange;
	return x && x->server ? x->status : block_status(c);
}

static enum own end(struct client *c, enum status status)
{
	if (status != ST_OK)
		client_drop(c);
	else
		client_flush(c);
	return OWN_ANSWERED;
}

/* A block goes on after such an error: nothing of it has reached a server. */
static enum own refuse(struct client *c, const struct batch *b, const struct complaint *wrong)
{
	enum status status =
	        message_error(&c->out, "ERROR", wrong->sqlstate, wrong->message, wrong->hint);
	c->skip_to_sync = b->end == BATCH_NO_ANSWER;
	if (status == ST_OK && !c->skip_to_sync)
		status = message_ready(&c->out, status_of(c));
	return end(c, status);
}

/* All that was sent before is answered, so that this can be. */
static bool is_quiet(const struct client *c)
{
	const struct exchange *x = c->exchange;
	return !x || (x->server && !x->outstanding && !x->errand_count && !x->asking);
}

static void on_token_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	client_resume(LIST_ENTRY(timer, struct demands, token)->client);
}

/* A position that the primary has told since the last write is on its way. False: it has not come
 * in time. */
static bool wait_for_token(struct client *c)
{
	struct demands *d = demands_of(c);
	double now = clock_now();
	if (!d || (d->token_until > 0 && now >= d->token_until))
		return false;
	const struct cluster *cluster = c->home->cluster;
	if (d->token_until <= 0)
		d->token_until = now + 2 * cluster->health.timeout;
	d->client = c;
	cluster_want(c->home->cluster, c->last_write);
	ev_timer_init(&d->token, on_token_time, TOKEN_POLL, 0);
	ev_timer_start(c->worker->context.loop, &d->token);
	return true;
}

void own_end(struct client *c)
{
	if (c->demands)
		ev_timer_stop(c->worker->context.loop, &c->demands->token);
}

static bool token_is_missing(const struct client *c, const struct own_statement *s)
{
	struct position token;
	return s->verb == OWN_SHOW && name_of(s->name) == NAME_TOKEN && !find_token(c, &token);
}

static enum own answer(struct client *c, const struct batch *b, const uint8_t *bytes,
                       const struct own_statement *s)
{
	struct complaint wrong = {.hint = NULL};
	char column[80], text[512];
	struct block_reply reply = {.tag = s->verb == OWN_SHOW    ? "SHOW"
	                                   : s->verb == OWN_RESET ? "RESET"
	                                                          : "SET"};
	bool runs = !b->extended || b->executes, fine = true;
	if (runs && token_is_missing(c, s)) {
		if (wait_for_token(c))
			return OWN_LATER;
		wrong = (struct complaint){.sqlstate = "57P03",
		                           .message =
		                                   "the primary has not told its position in time"};
		fine = false;
	}
	own_end(c);
	if (c->demands)
		c->demands->token_until = 0;
	if (fine && s->verb == OWN_SHOW) {
		fine = show(c, s, text, sizeof text, &wrong);
		snprintf(column, sizeof column, "moongate.%s", s->name);
		reply.column = column;
		reply.value = text;
	} else if (fine && runs) {
		fine = run(c, s, status_of(c) == 'T', &wrong);
	}
	if (!fine)
		return refuse(c, b, &wrong);
	return end(c, block_reply(c, b, bytes, &reply, status_of(c)));
}

/* One that the parser refuses is two statements to the batch, and would pin the client for good. */
static bool may_be_ours(const struct batch *b)
{
	if (b->statements > 2 || !b->facts || !b->sql)
		return false;
	enum sql_kind kind = b->facts->kind;
	if (b->statements == 2)
		return kind == SQL_UNKNOWN;
	return kind == SQL_SET || kind == SQL_RESET || kind == SQL_SHOW;
}

/* It names such a setting where it would be without effect. */
static bool hides_one(const struct client *c, const struct batch *b)
{
	const struct buffer *touched = &c->worker->touched;
	if (buffer_size(touched) && own_sql_names(buffer_data(touched), buffer_size(touched)))
		return true;
	bool several = b->statements != 1 && b->facts && b->facts->kind == SQL_MULTI;
	return several && b->sql && own_sql_mentions(b->sql, b->sql_size, c->standard_strings);
}

/* Messages that PostgreSQL would have to answer stand in one batch with ours. */
static bool is_mixed(const struct client *c)
{
	return c->exchange && c->exchange->open;
}

enum own own_answer(struct client *c, const struct batch *b, const uint8_t *bytes)
{
	struct own_statement s;
	bool ours = c->home && may_be_ours(b) &&
	            own_sql_read(b->sql, b->sql_size, c->standard_strings, &s);
	if (!ours && !hides_one(c, b))
		return OWN_NOT;
	if (is_mixed(c)) {
		if (c->exchange->failed_open)
			return OWN_NOT; /* passed over, until Sync */
		client_close(c, "0A000", "a setting moongate.* in one batch with other statements",
		             NULL);
		return OWN_ANSWERED;
	}
	if (!is_quiet(c))
		return OWN_LATER;
	if (status_of(c) == 'E')
		return refuse(c, b,
		              &(struct complaint){
		                      .sqlstate = "25P02",
		                      .message = "current transaction is aborted, commands ignored "
		                                 "until end of transaction block"});
	if (!ours)
		return refuse(c, b,
		              &(struct complaint){
		                      .sqlstate = "0A000",
		                      .hint = "Send SET moongate.x = '...' alone.",
		                      .message =
		                              "settings moongate.* can be changed and shown by a "
		                              "statement of their own only"});
	if (b->extended && !block_is_plain(c, b, bytes))
		return refuse(c, b,
		              &(struct complaint){
		                      .sqlstate = "42P05",
		                      .message = "the prepared statement exists already, or the "
		                                 "portal is not the one that was bound"});
	if (s.wrong)
		return refuse(c, b,
		              &(struct complaint){
		                      .sqlstate = "42601",
		                      .message =
		                              "syntax "
		                              "error in a statement about a setting moongate.*"});
	return answer(c, b, bytes, &s);
}

/* All of them, as changes that take them out of the set. */
static size_t take_out(const struct settings *set, struct setting_change *changes, size_t room)
{
	size_t count = 0, at = 0;
	const char *name, *value;
	while (count < room && settings_next(set, &at, &name, &value))
		if (strncmp(name, OWN_PREFIX, sizeof OWN_PREFIX - 1) == 0)
			changes[count++] = (struct setting_change){.name = name};
	return count;
}

static enum status start_one(struct client *c, const char *name, char *wrong, size_t wrong_size)
{
	struct complaint complaint = {.hint = NULL};
	struct demands *d = demands_of(c);
	const char *own = name + sizeof OWN_PREFIX - 1;
	if (!d)
		return ST_ENOMEM;
	bool fine = name_of(own) == NAME_NONE ? complain_of_name(&complaint, own)
	                                      : assign(&d->start, &d->start, name_of(own),
	                                               settings_get(c->startup, name), &complaint);
	d->session = d->start;
	d->read = (struct need){0}; /* nothing was read before */
	snprintf(wrong, wrong_size, "%s", complaint.message);
	return fine ? ST_OK : ST_ECLIENT;
}

enum status own_start(struct client *c, char *wrong, size_t wrong_size)
{
	struct setting_change changes[8];
	size_t count = take_out(c->startup, changes, sizeof changes / sizeof *changes);
	enum status status = ST_OK;
	for (size_t i = 0; i < count && status == ST_OK; i++)
		status = start_one(c, changes[i].name, wrong, wrong_size);
	if (count == 0 || status != ST_OK)
		return status;
	struct settings *rest = settings_with(c->startup, changes, count);
	if (!rest)
		return ST_ENOMEM;
	settings_unref(c->startup);
	c->startup = rest;
	return ST_OK;
}
