/* reload.c - see reload.h. */
/* SPDX-License-Identifier: MIT */
#include "router/reload.h"

#include "cluster/membership.h"
#include "router/admin.h"
#include "router/client.h"
#include "router/listener.h"
#include "router/mirror.h"
#include "router/relay.h"
#include "router/replication.h"
#include "router/welcome.h"
#include "router/worker.h"

#include <stdio.h>
#include <string.h>

/* All that is to take over. NULL: the old one stays. */
struct plan {
	struct script *script;
	struct listener *listener;
	struct admin *admin;
};

/* The cluster of `script` that serves the same databases, or NULL. */
static struct cluster *counterpart(const struct script *script, const struct script_cluster *of)
{
	for (size_t i = 0; i < script_cluster_count(script); i++) {
		const struct script_cluster *c = script_cluster_at(script, i);
		if (strcmp(c->database, of->database) == 0)
			return c->cluster;
	}
	return NULL;
}

static void cancel_adoptions(struct worker *w, const struct plan *p, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct script_cluster *made = script_cluster_at(p->script, i);
		struct cluster *old = counterpart(w->script, made);
		if (old)
			cluster_adopt_cancel(made->cluster, old);
	}
}

static bool prepare_adoptions(struct worker *w, const struct plan *p)
{
	for (size_t i = 0; i < script_cluster_count(p->script); i++) {
		const struct script_cluster *made = script_cluster_at(p->script, i);
		struct cluster *old = counterpart(w->script, made);
		if (!old || cluster_adopt_prepare(made->cluster, old) == ST_OK)
			continue;
		cancel_adoptions(w, p, i);
		snprintf(w->reloads.error, RELOAD_ERROR, "out of memory");
		return false;
	}
	return true;
}

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Opens what is to be listened on from now on, where it is not so already. */
static bool open_ports(struct worker *w, struct plan *p)
{
	const char *listen = script_listen(p->script), *admin = script_admin(p->script);
	if (!w->listen && !same(listen, script_listen(w->script))) {
		p->listener = listener_new(w, listen, w->reloads.error, RELOAD_ERROR);
		if (!p->listener)
			return false;
	}
	if (admin && !same(admin, script_admin(w->script))) {
		p->admin = admin_new(w, admin, w->reloads.error, RELOAD_ERROR);
		if (!p->admin)
			return false;
	}
	return true;
}

static void drop_plan(struct plan *p)
{
	listener_free(p->listener);
	admin_free(p->admin);
	script_free(p->script);
}

static bool make_plan(struct worker *w, struct plan *p)
{
	*p = (struct plan){.script = script_load(&w->context, w->path, &w->options,
	                                         w->reloads.error, RELOAD_ERROR)};
	if (p->script && open_ports(w, p) && prepare_adoptions(w, p))
		return true;
	drop_plan(p);
	return false;
}

/* Nothing of the old clusters' is kept by an exchange, but its server. */
static void stop_seeking(struct worker *w)
{
	mirrors_stop_seeking(w);
	LIST_EACH (&w->clients, link) {
		struct exchange *x = LIST_ENTRY(link, struct client, link)->exchange;
		if (!x)
			continue;
		x->route = x->mirror = NULL;
		x->excluded = 0;
		x->key = 0;
		x->reloaded = x->server != NULL;
		if (relay_stop_seeking(x))
			list_push_back(&w->seeking, &x->link);
	}
}

static void move_clusters(struct worker *w, const struct plan *p)
{
	struct adoption *sum = &w->reloads.last;
	*sum = (struct adoption){0};
	for (size_t i = 0; i < script_cluster_count(p->script); i++) {
		const struct script_cluster *made = script_cluster_at(p->script, i);
		struct cluster *old = counterpart(w->script, made);
		struct adoption one = {.added = made->cluster->endpoint_count};
		if (old)
			one = cluster_adopt(made->cluster, old);
		sum->kept += one.kept;
		sum->added += one.added;
	}
}

/* What the old script's clusters have left. */
static void retire_clusters(struct worker *w)
{
	for (size_t i = 0; i < script_cluster_count(w->script); i++) {
		struct cluster *old = script_take_cluster(w->script, i);
		w->reloads.last.removed += cluster_present(old);
		cluster_retire(old);
		list_push_back(&w->retired, &old->retired);
	}
	reload_reap(w);
}

/* Where on_connect had sent it elsewhere, it stays with the cluster of that name. */
static bool find_new_home(struct client *c, const struct script *old)
{
	const struct script_cluster *before = c->home;
	const char *name =
	        before && before != script_cluster(old, c->database) ? before->database : NULL;
	const struct script_cluster *same_name =
	        name ? script_cluster(c->worker->script, name) : NULL;
	if (!same_name || strcmp(same_name->database, name) != 0)
		return client_find_home(c);
	client_set_home(c, same_name);
	return true;
}

static void find_home(struct client *c, const struct script *old)
{
	const struct script_cluster *before = c->home;
	struct session_facts session = {.vars = c->vars};
	c->vars = 0;
	if (!c->database || !find_new_home(c, old) || !before)
		return;
	policy_session_move(before->policy, c->home->policy, &session);
	c->vars = session.vars;
}

/* The old script is still there. */
static void find_homes(struct worker *w, const struct script *old)
{
	LIST_EACH (&w->clients, link)
		find_home(LIST_ENTRY(link, struct client, link), old);
	replication_find_homes(w);
	if (w->reloads.last.added || w->reloads.last.removed)
		welcome_free_all(w); /* others may have other settings to greet with */
}

static void swap_scripts(struct worker *w, struct plan *p)
{
	if (!same(script_admin(p->script), script_admin(w->script))) {
		admin_retire(w->admin);
		w->admin = p->admin;
	}
	if (p->listener) {
		listener_free(w->listener);
		w->listener = p->listener;
	}
	struct script *old = w->script;
	w->script = p->script;
	find_homes(w, old);
	script_free(old);
	script_start(w->script);
	descriptors_recheck(w);
}

/* One at a time: what becomes of one may be the end of others. */
static void seek_again(struct worker *w)
{
	while (!list_empty(&w->seeking)) {
		struct exchange *x = LIST_ENTRY(w->seeking.next, struct exchange, link);
		list_remove(&x->link);
		if (x->client->home)
			relay_seek_again(x);
		else
			client_close(x->client, "57P01", CLIENT_NOT_SERVED, NULL);
	}
}

bool reload(struct worker *w)
{
	const struct log *log = &w->context.log;
	struct reloads *r = &w->reloads;
	struct plan plan;
	if (!make_plan(w, &plan)) {
		r->failed++;
		log_error(log, "not reloaded; the old script stays", LOG_T("reason", r->error));
		return false;
	}
	stop_seeking(w);
	move_clusters(w, &plan);
	retire_clusters(w);
	swap_scripts(w, &plan);
	r->done++;
	log_info(log, "reloaded", LOG_T("script", w->path), LOG_N("endpoints_kept", r->last.kept),
	         LOG_N("added", r->last.added), LOG_N("removed", r->last.removed));
	seek_again(w);
	return true;
}

void reload_reap(struct worker *w)
{
	LIST_EACH (&w->retired, link) {
		struct cluster *c = LIST_ENTRY(link, struct cluster, retired);
		if (!cluster_is_empty(c))
			continue;
		list_remove(link);
		cluster_free(c);
	}
}

void reload_stop(struct worker *w)
{
	LIST_EACH (&w->retired, link) {
		list_remove(link);
		cluster_free(LIST_ENTRY(link, struct cluster, retired));
	}
}
