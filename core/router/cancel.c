/* cancel.c - see cancel.h. */
/* SPDX-License-Identifier: MIT */
#include "router/cancel.h"

#include "cluster/pool.h"
#include "router/client.h"
#include "router/relay.h"
#include "router/replication.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct cancel {
	struct list link; /* in worker->cancels */
	struct worker *worker;
	PGcancel *request;
	struct server *server; /* whose `cancel` this is */
	bool kept, reusable;   /* its borrower has given it back, so */
	pthread_t thread;
	atomic_bool done;
};

static void *send_cancel(void *arg)
{
	struct cancel *cancel = arg;
	char error[256]; /* as with PostgreSQL, nobody is told */
	PQcancel(cancel->request, error, sizeof error);
	struct worker *w = cancel->worker;
	atomic_store(&cancel->done, true);
	ev_async_send(w->context.loop, &w->cancel_done);
	return NULL;
}

static void end_cancel(struct cancel *cancel)
{
	struct server *server = cancel->server;
	bool kept = cancel->kept, reusable = cancel->reusable;
	pthread_join(cancel->thread, NULL);
	PQfreeCancel(cancel->request);
	list_remove(&cancel->link);
	cancel->worker->cancel_count--;
	free(cancel);
	server->cancel = NULL;
	if (kept && server->pool)
		pool_release(server, reusable);
	else if (kept)
		server_free(server);
	else
		relay_cancel_done(server);
}

static void on_done(struct ev_loop *loop, ev_async *watcher, int events)
{
	(void)loop;
	(void)events;
	struct worker *w = LIST_ENTRY(watcher, struct worker, cancel_done);
	LIST_EACH (&w->cancels, link) {
		struct cancel *cancel = LIST_ENTRY(link, struct cancel, link);
		if (atomic_load(&cancel->done))
			end_cancel(cancel);
	}
}

void cancel_init(struct worker *w)
{
	list_init(&w->cancels);
	ev_async_init(&w->cancel_done, on_done);
	ev_async_start(w->context.loop, &w->cancel_done);
}

void cancel_stop(struct worker *w)
{
	LIST_EACH (&w->cancels, link)
		end_cancel(LIST_ENTRY(link, struct cancel, link));
	ev_async_stop(w->context.loop, &w->cancel_done);
}

static void cancel_server(struct worker *w, struct server *server)
{
	if (server->cancel || w->cancel_count >= CANCELS_MAX)
		return;
	struct cancel *cancel = calloc(1, sizeof *cancel);
	if (!cancel)
		return;
	cancel->worker = w;
	cancel->server = server;
	cancel->request = PQgetCancel(server->conn);
	if (!cancel->request || pthread_create(&cancel->thread, NULL, send_cancel, cancel) != 0) {
		PQfreeCancel(cancel->request);
		free(cancel);
		return;
	}
	server->cancel = cancel;
	w->cancel_count++;
	list_push_back(&w->cancels, &cancel->link);
}

void cancel_exchange(struct worker *w, struct exchange *x)
{
	if (!x->server)
		relay_cancel_wait(x);
	else if (x->outstanding && x->errand_count)
		x->cancelled = true; /* not our own queries: they come first */
	else if (x->outstanding)
		cancel_server(w, x->server);
}

static void cancel_client(struct worker *w, struct client *c)
{
	if (c->exchange && c->state == CLIENT_READY)
		cancel_exchange(w, c->exchange);
}

void cancel_request(struct worker *w, uint32_t pid, const uint8_t *secret, size_t secret_size)
{
	struct cancel_key *key = cancel_key_find(&w->keys, pid, secret, secret_size);
	if (!key)
		return;
	if (key->holder == CANCEL_CLIENT) {
		cancel_client(w, LIST_ENTRY(key, struct client, key));
		return;
	}
	struct server *server = replication_server(key);
	if (server)
		cancel_server(w, server);
}

bool cancel_keeps(struct server *server, bool reusable)
{
	struct cancel *cancel = server->cancel;
	if (!cancel)
		return false;
	cancel->kept = true;
	cancel->reusable = reusable;
	server_want_write(server, false);
	ev_io_stop(server->context->loop, &server->reader);
	return true;
}
