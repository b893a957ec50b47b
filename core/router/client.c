/* client.c - see client.h. */
/* SPDX-License-Identifier: MIT */
#include "router/client.h"

#include "router/admission.h"
#include "router/cancel.h"
#include "router/own.h"
#include "router/relay.h"
#include "router/replication.h"
#include "router/welcome.h"
#include "wire/message.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_client_readable(struct ev_loop *loop, ev_io *watcher, int events);
static void on_client_writable(struct ev_loop *loop, ev_io *watcher, int events);

static struct ev_loop *loop_of(const struct client *c)
{
	return c->worker->context.loop;
}

enum status client_new(struct worker *worker, int fd, const char *address)
{
	size_t size = strlen(address) + 1;
	struct client *c = calloc(1, sizeof *c + size);
	if (!c)
		return ST_ENOMEM;
	if (cancel_key_give(&worker->keys, &c->key, CANCEL_CLIENT) != ST_OK) {
		free(c);
		return ST_ENOMEM;
	}
	memcpy(c->address, address, size);
	c->worker = worker;
	c->fd = fd;
	c->last_write = -INFINITY;
	c->heard = (float)worker->tick;
	c->standard_strings = true;
	ev_io_init(&c->reader, on_client_readable, fd, EV_READ);
	ev_io_init(&c->writer, on_client_writable, fd, EV_WRITE);
	list_push_back(&worker->clients, &c->link);
	worker->client_count++;
	ev_io_start(loop_of(c), &c->reader);
	return ST_OK;
}

static void end_session(struct client *c)
{
	policy_session_end(c->home->policy, &(struct session_facts){.vars = c->vars});
	if (c->home->shadow)
		shadow_session_end(c->home->shadow, &c->shadow_vars);
}

void client_drop(struct client *c)
{
	if (c->state == CLIENT_GONE)
		return;
	c->state = CLIENT_GONE;
	own_end(c);
	relay_abandon(c);
	if (c->home)
		end_session(c);
	catalogs_leave(c->catalog);
	c->catalog = NULL;
	ev_io_stop(loop_of(c), &c->reader);
	ev_io_stop(loop_of(c), &c->writer);
	cancel_key_end(&c->worker->keys, &c->key);
	list_remove(&c->link);
	list_push_back(&c->worker->gone, &c->link);
	c->worker->client_count--;
	if (c->fd >= 0)
		close(c->fd);
}

void client_free(struct client *c)
{
	list_remove(&c->link);
	buffer_free(&c->in);
	buffer_free(&c->out);
	buffer_free(&c->block.begin);
	names_clear(&c->names);
	statement_unref(c->unnamed);
	settings_unref(c->settings);
	settings_unref(c->startup);
	free(c->demands);
	free(c->user);
	free(c);
}

static enum status send_now(struct client *c, const uint8_t *bytes, size_t size, size_t *sent)
{
	ssize_t n = send(c->fd, bytes, size, MSG_NOSIGNAL);
	*sent = n > 0 ? (size_t)n : 0;
	return n >= 0 || errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? ST_OK
	                                                                           : ST_CLOSED;
}

bool client_flush(struct client *c)
{
	size_t sent = 0;
	if (buffer_size(&c->out) &&
	    send_now(c, buffer_data(&c->out), buffer_size(&c->out), &sent) != ST_OK) {
		client_drop(c);
		return false;
	}
	buffer_consume(&c->out, sent);
	if (buffer_size(&c->out)) {
		ev_io_start(loop_of(c), &c->writer);
		return true;
	}
	ev_io_stop(loop_of(c), &c->writer);
	if (c->state == CLIENT_CLOSING) {
		client_drop(c);
		return false;
	}
	return true;
}

bool client_send(struct client *c, const uint8_t *bytes, size_t size)
{
	size_t sent = 0;
	if (buffer_size(&c->out) == 0 && send_now(c, bytes, size, &sent) != ST_OK) {
		client_drop(c);
		return false;
	}
	if (sent == size)
		return true;
	if (buffer_append(&c->out, bytes + sent, size - sent) != ST_OK) {
		client_drop(c);
		return false;
	}
	ev_io_start(loop_of(c), &c->writer);
	return true;
}

void client_close(struct client *c, const char *sqlstate, const char *message, const char *hint)
{
	if (c->state >= CLIENT_CLOSING)
		return;
	bool torn = relay_torn(c);
	relay_abandon(c);
	c->state = CLIENT_CLOSING;
	ev_io_stop(loop_of(c), &c->reader);
	buffer_free(&c->in);
	if (sqlstate && !torn && message_error(&c->out, "FATAL", sqlstate, message, hint) != ST_OK)
		buffer_free(&c->out);
	client_flush(c);
}

bool client_has_left(const struct client *c)
{
	struct pollfd socket = {.fd = c->fd, .events = POLLRDHUP};
	return poll(&socket, 1, 0) > 0;
}

void client_set_settings(struct client *c, struct settings *settings)
{
	settings_unref(c->settings);
	c->settings = settings;
	c->standard_strings = settings->standard_strings;
	c->pins &= ~(unsigned)RELAY_PIN_ENCODING;
	if (settings->unreadable)
		c->pins |= RELAY_PIN_ENCODING;
	if (settings->temporary)
		c->pins |= PIN_TEMP;
}

bool client_find_home(struct client *c)
{
	client_set_home(c, script_cluster(c->worker->script, c->database));
	return c->home != NULL;
}

void client_set_home(struct client *c, const struct script_cluster *home)
{
	static const struct session_config none = {0};
	c->home = home;
	c->last = (struct last_route){0};
	c->shadow_vars = 0;
	if (c->demands) /* endpoints have other places now */
		c->demands->read.reader = CLUSTER_ENDPOINTS;
	if (c->exchange)
		c->exchange->need.reader = CLUSTER_ENDPOINTS;
	c->config =
	        c->home ? cluster_session_config(c->home->cluster, c->user, c->database) : &none;
	catalogs_leave(c->catalog);
	c->catalog = NULL;
	if (c->home)
		c->catalog = catalogs_join(c->home->cluster->catalogs, c->user, c->database);
	catalogs_want(c->catalog);
}

static void begin_session(struct client *c, const struct startup *startup)
{
	c->key.long_secret = startup_minor(startup) >= 2;
	/* In one piece: there may be ten thousand of them. */
	size_t size = strlen(startup->user) + 1;
	c->user = malloc(size + strlen(startup->database) + 1);
	if (c->user) {
		c->database =
		        memcpy(c->user + size, startup->database, strlen(startup->database) + 1);
		memcpy(c->user, startup->user, size);
	}
	enum status status = settings_read(&c->worker->settings, startup, &c->startup);
	if (!c->user || status == ST_ENOMEM) {
		client_close(c, "53200", "out of memory", NULL);
		return;
	}
	if (status != ST_OK) {
		client_close(c, "42601",
		             "invalid command-line argument for server process in options",
		             "options may hold -c NAME=VALUE and --NAME=VALUE.");
		return;
	}
	char wrong[256];
	status = own_start(c, wrong, sizeof wrong);
	if (status != ST_OK) {
		client_close(c, status == ST_ENOMEM ? "53200" : "22023",
		             status == ST_ENOMEM ? "out of memory" : wrong, NULL);
		return;
	}
	if (!client_find_home(c)) {
		client_close(c, "3D000", "no cluster of the routing script serves this database",
		             NULL);
		return;
	}
	client_set_settings(c, settings_ref(c->startup));
	if (!admission_ask(c))
		return;
	if (c->config->mode == POOL_SESSION)
		c->pins |= RELAY_PIN_SESSION;
	if (message_negotiate(&c->out, startup) != ST_OK) {
		client_close(c, "53200", "out of memory", NULL);
		return;
	}
	c->state = CLIENT_WELCOMING; /* and welcomed when its packet is used up: see after() */
}

/* One packet of the start; false when there is nothing more to read for now, or the client is gone.
 */
static bool start(struct client *c, const uint8_t *bytes, size_t size, size_t *used)
{
	struct startup s;
	const char *wrong, *sqlstate;
	switch (startup_read(bytes, size, &s, &wrong, &sqlstate)) {
	case ST_OK:
		break;
	case ST_AGAIN:
		return false;
	default:
		client_close(c, sqlstate, wrong, NULL);
		return false;
	}
	*used = s.size;
	switch (s.kind) {
	case STARTUP_SSL:
	case STARTUP_GSS:
		return client_send(c, (const uint8_t *)"N", 1);
	case STARTUP_CANCEL:
		cancel_request(c->worker, s.pid, s.secret, s.secret_size);
		client_close(c, NULL, NULL, NULL);
		return false;
	case STARTUP_SESSION:
		break;
	}
	if (s.replication != REPLICATION_NONE)
		replication_begin(c, &s, bytes + s.size, size - s.size);
	else
		begin_session(c, &s);
	return false;
}

static enum status take(struct client *c, const uint8_t *bytes, size_t size, size_t *used)
{
	*used = 0;
	if (c->state == CLIENT_READY)
		return relay_take(c, bytes, size, used);
	while (c->state == CLIENT_STARTING && *used < size) {
		size_t packet = 0;
		bool more = start(c, bytes + *used, size - *used, &packet);
		*used += packet;
		if (!more)
			break;
	}
	return ST_OK;
}

static void read_or_rest(struct client *c, enum status status)
{
	if (status == ST_AGAIN || c->state != CLIENT_READY || c->eof)
		ev_io_stop(loop_of(c), &c->reader);
	else
		ev_io_start(loop_of(c), &c->reader);
}

/* Nothing is under way for a client that will send no more: it is done. */
static bool finished(const struct client *c)
{
	return c->eof && c->state == CLIENT_READY && (!relay_busy(c) || relay_starves(c));
}

/* What `take` leaves to be done once its bytes are accounted for. */
static void after(struct client *c, enum status status)
{
	if (c->state == CLIENT_WELCOMING && !c->exchange) {
		ev_io_stop(loop_of(c), &c->reader);
		welcome_client(c);
	} else if (finished(c)) {
		client_close(c, NULL, NULL, NULL);
	} else if (status == ST_AGAIN || !ev_is_active(&c->reader)) {
		read_or_rest(c, status);
	}
}

static void feed_stored(struct client *c)
{
	size_t used;
	enum status status = take(c, buffer_data(&c->in), buffer_size(&c->in), &used);
	if (c->state >= CLIENT_CLOSING)
		return;
	buffer_consume(&c->in, used);
	after(c, status);
}

static void feed_fresh(struct client *c, const uint8_t *bytes, size_t size)
{
	size_t used;
	enum status status = take(c, bytes, size, &used);
	if (c->state >= CLIENT_CLOSING)
		return;
	if (buffer_append(&c->in, bytes + used, size - used) != ST_OK) {
		client_drop(c);
		return;
	}
	after(c, status);
}

void client_resume(struct client *c)
{
	if (buffer_size(&c->in))
		feed_stored(c);
	else if (finished(c))
		client_close(c, NULL, NULL, NULL);
	else
		read_or_rest(c, ST_OK);
}

static void on_end(struct client *c)
{
	c->eof = true;
	ev_io_stop(loop_of(c), &c->reader);
	if (c->state != CLIENT_READY)
		client_drop(c);
	else if (finished(c))
		client_close(c, NULL, NULL, NULL); /* it may still read what it has asked for */
}

static void on_client_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	(void)loop;
	(void)events;
	struct client *c = LIST_ENTRY(watcher, struct client, reader);
	uint8_t *bytes = c->worker->bytes;
	c->heard = (float)c->worker->tick;
	ssize_t n = recv(c->fd, bytes, WORKER_BUFFER, 0);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n < 0) {
		client_drop(c);
		return;
	}
	if (n == 0) {
		on_end(c);
		return;
	}
	if (buffer_size(&c->in) == 0) {
		feed_fresh(c, bytes, (size_t)n);
		return;
	}
	if (buffer_append(&c->in, bytes, (size_t)n) != ST_OK)
		client_drop(c);
	else
		feed_stored(c);
}

static void on_client_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	(void)loop;
	(void)events;
	struct client *c = LIST_ENTRY(watcher, struct client, writer);
	if (client_flush(c) && buffer_size(&c->out) == 0)
		relay_drained(c);
}
