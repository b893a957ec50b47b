/* worker.c - see worker.h. */
/* SPDX-License-Identifier: MIT */
#include "router/worker.h"

#include "base/clock.h"
#include "base/random.h"
#include "cluster/pause.h"
#include "cluster/resolver.h"
#include "router/admin.h"
#include "router/cancel.h"
#include "router/client.h"
#include "router/listener.h"
#include "router/mirror.h"
#include "router/relay.h"
#include "router/replication.h"
#include "router/timeouts.h"
#include "router/wash.h"
#include "router/welcome.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define CLASSIFIER_ENTRIES 10000

/* Frees clients that have ended, when no callback can be using them any more. */
static void on_burial(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	(void)loop;
	(void)events;
	struct worker *w = LIST_ENTRY(watcher, struct worker, burial);
	while (!list_empty(&w->gone))
		client_free(LIST_ENTRY(w->gone.next, struct client, link));
}

static void on_turn(struct ev_loop *loop, ev_check *watcher, int events)
{
	(void)loop;
	(void)events;
	LIST_ENTRY(watcher, struct worker, turn)->now = clock_now();
}

static void each_cluster(struct worker *w, void (*fn)(struct cluster *cluster))
{
	for (size_t i = 0; i < script_cluster_count(w->script); i++)
		fn(script_cluster_at(w->script, i)->cluster);
}

static void tell_counts(struct cluster *cluster)
{
	counters_log(&cluster->counters, &cluster->counters_told, &cluster->context->log,
	             cluster->name);
}

void worker_tell_counts(struct worker *w)
{
	each_cluster(w, tell_counts);
}

static void stop(struct worker *w)
{
	worker_tell_counts(w);
	log_info(&w->context.log, "stopping", LOG_N("clients", w->client_count));
	listener_free(w->listener);
	w->listener = NULL;
	w->draining = true;
	LIST_EACH (&w->clients, link)
		client_close(LIST_ENTRY(link, struct client, link), "57P01",
		             "terminating connection due to administrator command", NULL);
	replication_stop(w);
	ev_break(w->context.loop, EVBREAK_ALL);
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
	(void)loop;
	(void)events;
	stop(watcher->data);
}

static void on_hangup(struct ev_loop *loop, ev_signal *watcher, int events)
{
	(void)loop;
	(void)events;
	reload(watcher->data);
}

static void on_pause(struct ev_loop *loop, ev_signal *watcher, int events)
{
	(void)loop;
	(void)events;
	each_cluster(watcher->data, watcher->signum == SIGUSR1 ? cluster_pause : cluster_resume);
}

static void watch_signal(struct worker *w, ev_signal *watcher, int number,
                         void (*fn)(struct ev_loop *loop, ev_signal *watcher, int events))
{
	ev_signal_init(watcher, fn, number);
	watcher->data = w;
	ev_signal_start(w->context.loop, watcher);
}

static void watch_signals(struct worker *w)
{
	watch_signal(w, &w->terminate, SIGTERM, on_signal);
	watch_signal(w, &w->interrupt, SIGINT, on_signal);
	watch_signal(w, &w->hangup, SIGHUP, on_hangup);
	watch_signal(w, &w->pause, SIGUSR1, on_pause);
	watch_signal(w, &w->resume, SIGUSR2, on_pause);
}

static void unwatch_signals(struct worker *w)
{
	ev_signal_stop(w->context.loop, &w->terminate);
	ev_signal_stop(w->context.loop, &w->interrupt);
	ev_signal_stop(w->context.loop, &w->hangup);
	ev_signal_stop(w->context.loop, &w->pause);
	ev_signal_stop(w->context.loop, &w->resume);
}

static bool init_parts(struct worker *w)
{
	w->context.loop = ev_loop_new(EVFLAG_AUTO);
	if (!w->context.loop)
		return false;
	random_secret(&w->context.random, sizeof w->context.random);
	w->context.resolver = resolver_new(&w->context);
	w->classifier = classifier_new(CLASSIFIER_ENTRIES);
	w->statements.classifier = w->classifier;
	random_secret(w->statements.secret, sizeof w->statements.secret);
	w->bytes = malloc(WORKER_BUFFER);
	ev_prepare_init(&w->burial, on_burial);
	ev_prepare_start(w->context.loop, &w->burial);
	w->now = clock_now();
	ev_check_init(&w->turn, on_turn);
	ev_check_start(w->context.loop, &w->turn);
	cancel_keys_init(&w->keys);
	cancel_init(w);
	timeouts_init(w);
	return w->context.resolver && w->classifier && w->bytes;
}

bool worker_init(struct worker *w, const char *script, const char *listen,
                 const struct script_options *options, char *error, size_t error_size)
{
	const struct log kept = w->context.log;
	*w = (struct worker){
	        .context.log = kept, .path = script, .listen = listen, .options = *options};
	list_init(&w->clients);
	list_init(&w->replications);
	list_init(&w->gone);
	list_init(&w->spare);
	list_init(&w->cancels);
	list_init(&w->washing);
	list_init(&w->mirrors);
	list_init(&w->retired);
	list_init(&w->retired_admins);
	list_init(&w->seeking);
	if (!init_parts(w)) {
		snprintf(error, error_size, "out of memory");
		return false;
	}
	descriptors_raise(w);
	w->script = script_load(&w->context, script, options, error, error_size);
	if (!w->script)
		return false;
	watch_signals(w); /* before anybody finds that we listen; they wait for the loop */
	w->listener =
	        listener_new(w, listen ? listen : script_listen(w->script), error, error_size);
	if (!w->listener)
		return false;
	if (script_admin(w->script)) {
		w->admin = admin_new(w, script_admin(w->script), error, error_size);
		if (!w->admin)
			return false;
	}
	descriptors_check(w);
	return true;
}

void worker_run(struct worker *w)
{
	script_start(w->script);
	ev_run(w->context.loop, 0);
	unwatch_signals(w);
}

void worker_free(struct worker *w)
{
	if (!w->context.loop)
		return;
	unwatch_signals(w);
	listener_free(w->listener);
	admin_stop(w);
	LIST_EACH (&w->clients, link)
		client_drop(LIST_ENTRY(link, struct client, link));
	replication_stop(w);
	on_burial(w->context.loop, &w->burial, 0);
	cancel_stop(w);
	timeouts_stop(w);
	wash_stop(w);
	mirrors_stop(w);
	exchange_free_spare(w);
	cancel_keys_free(&w->keys);
	welcome_free_all(w);
	script_free(w->script);
	reload_stop(w);
	buffer_free(&w->touched);
	buffer_free(&w->rewritten);
	classifier_free(w->classifier);
	resolver_free(w->context.resolver);
	free(w->bytes);
	ev_loop_destroy(w->context.loop);
	w->context.loop = NULL;
}
