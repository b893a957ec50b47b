/* addresses.c - see addresses.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/addresses.h"

#include "cluster/alarms.h"
#include "cluster/cluster.h"
#include "cluster/conninfo.h"
#include "cluster/resolver.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct addresses {
	struct endpoint *endpoint;
	char *known; /* parted by commas; NULL: none yet */
	unsigned epoch;
	bool moved; /* to be told of */
	struct resolver_query *query;
	ev_timer timer; /* until the next look, or at once to tell */
};

static struct ev_loop *loop_of(const struct addresses *a)
{
	return a->endpoint->cluster->context->loop;
}

static bool contains(const char *list, const char *address, size_t size)
{
	while (*list) {
		size_t length = strcspn(list, ",");
		if (length == size && memcmp(list, address, size) == 0)
			return true;
		list += length + (list[length] == ',');
	}
	return false;
}

static bool all_in(const char *some, const char *list)
{
	while (*some) {
		size_t length = strcspn(some, ",");
		if (!contains(list, some, length))
			return false;
		some += length + (some[length] == ',');
	}
	return true;
}

static void arm(struct addresses *a, double wait)
{
	ev_timer_stop(loop_of(a), &a->timer);
	if (wait == INFINITY)
		return;
	ev_timer_set(&a->timer, wait, 0);
	alarm_start(a->endpoint->cluster->context, &a->timer);
}

static double wait_for(double ttl)
{
	if (ttl == INFINITY)
		return INFINITY;
	return ttl > 0 ? fmin(fmax(ttl, ADDRESSES_LEAST), ADDRESSES_MOST) : ADDRESSES_RETRY;
}

/* Their order says nothing: name servers shuffle it. */
static void take(struct addresses *a, const char *list)
{
	if (a->known && all_in(list, a->known) && all_in(a->known, list))
		return;
	char *copy = strdup(list);
	if (!copy)
		return;
	if (a->known) {
		a->epoch++;
		a->moved = true;
		log_warn(&a->endpoint->cluster->context->log, "the host has another address",
		         LOG_T("endpoint", a->endpoint->name), LOG_T("from", a->known),
		         LOG_T("to", copy));
	}
	free(a->known);
	a->known = copy;
}

void addresses_heard(struct addresses *a, const struct resolved *answer)
{
	take(a, answer->addresses);
	arm(a, a->moved ? 0 : wait_for(answer->ttl));
}

static void on_resolved(enum status status, const struct resolved *answer, void *arg)
{
	struct addresses *a = arg;
	a->query = NULL;
	if (status == ST_OK)
		addresses_heard(a, answer);
	else
		arm(a, ADDRESSES_RETRY); /* name servers may fail: what was known stays known */
}

static void look(struct addresses *a)
{
	const char *host = conninfo_host_to_resolve(a->endpoint->conninfo);
	if (!a->query)
		a->query = resolver_start(a->endpoint->cluster->context->resolver, host,
		                          on_resolved, a);
	if (!a->query)
		arm(a, ADDRESSES_RETRY);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	struct addresses *a = LIST_ENTRY(timer, struct addresses, timer);
	if (!a->moved) {
		look(a);
		return;
	}
	a->moved = false;
	arm(a, ADDRESSES_LEAST);
	endpoint_moved(a->endpoint);
}

struct addresses *addresses_new(struct endpoint *endpoint)
{
	struct addresses *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	a->endpoint = endpoint;
	ev_init(&a->timer, on_time);
	return a;
}

void addresses_free(struct addresses *a)
{
	if (!a)
		return;
	ev_timer_stop(loop_of(a), &a->timer);
	resolver_cancel(a->query);
	free(a->known);
	free(a);
}

bool addresses_include(const struct addresses *a, int fd)
{
	struct sockaddr_storage peer = {0};
	socklen_t size = sizeof peer;
	char text[INET6_ADDRSTRLEN];
	if (!a->known || getpeername(fd, (struct sockaddr *)(void *)&peer, &size) != 0)
		return true;
	const void *address = peer.ss_family == AF_INET6
	                              ? (void *)&((struct sockaddr_in6 *)(void *)&peer)->sin6_addr
	                              : (void *)&((struct sockaddr_in *)(void *)&peer)->sin_addr;
	if (!inet_ntop(peer.ss_family, address, text, sizeof text))
		return true; /* a Unix socket */
	return contains(a->known, text, strlen(text));
}

unsigned addresses_epoch(const struct addresses *a)
{
	return a->epoch;
}
