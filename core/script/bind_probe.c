/* bind_probe.c - cluster:health(), cluster:reconnect(): endpoints are asked now, and the caller
 * waits for what comes of it. */
/* SPDX-License-Identifier: MIT */
#include "cluster/probe.h"

#include "base/clock.h"
#include "script/answer.h"
#include "script/blocking.h"
#include "script/misuse.h"

#include <string.h>

/* Core.probe() and core.try() under way. */
struct probe_call {
	struct blocking blocking;
	const struct cluster_handle *h;
	double since, deadline;
	bool all;               /* those that are down are waited for, too */
	unsigned index, serial; /* core.try(): of this one alone */
};

static bool all_known(const struct blocking *b)
{
	const struct probe_call *call = (const struct probe_call *)b;
	const struct cluster *c = call->h->cluster;
	if (!c || clock_now() >= call->deadline)
		return true;
	for (size_t i = 0; i < c->endpoint_count; i++) {
		const struct endpoint *e = c->endpoints[i];
		bool asked = call->all ? !e->absent : health_usable(&e->health);
		if (asked && e->reported < call->since)
			return false;
	}
	return true;
}

static int probed(lua_State *L, struct blocking *b)
{
	(void)L;
	(void)b;
	return 0;
}

/* core.probe(cluster, all?): probes all endpoints that are believed to be there, or all that there
 * are, and waits for what comes of it. */
static int probe(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	struct cluster *c = h->cluster;
	bool all = lua_toboolean(L, 2);
	struct probe_call *call = blocking_begin_on(L, h, sizeof *call, "cluster:health");
	call->h = h;
	call->all = all;
	call->since = clock_now();
	call->deadline = call->since + c->health.timeout + PROBE_QUIET;
	for (size_t i = 0; i < c->endpoint_count; i++) {
		if (all)
			endpoint_retry(c->endpoints[i]);
		endpoint_check(c->endpoints[i]);
		probe_demand(c->endpoints[i]);
	}
	return blocking_await_poll(L, &call->blocking, all_known, probed);
}

static struct endpoint *find(lua_State *L, const struct cluster_handle *h, const char *what)
{
	const struct endpoint_handle *named = luaL_testudata(L, 2, ENDPOINT_HANDLE);
	struct endpoint *e = NULL;
	if (named && named->owner == h)
		e = endpoint_of(named);
	else if (lua_type(L, 2) == LUA_TSTRING)
		e = cluster_endpoint(h->cluster, lua_tostring(L, 2));
	if (e && !e->absent)
		return e;
	if (named)
		misuse(L, "%s: the endpoint is none of this cluster's", what);
	if (lua_type(L, 2) == LUA_TSTRING)
		misuse(L, "%s: the cluster has no endpoint \"%s\"", what, lua_tostring(L, 2));
	misuse(L, "%s: an endpoint or its name expected, got %s", what, luaL_typename(L, 2));
}

/* NULL: it has left, or the cluster is closed. */
static struct endpoint *tried(const struct probe_call *call)
{
	const struct cluster *c = call->h->cluster;
	struct endpoint *e = c ? c->endpoints[call->index] : NULL;
	return e && e->serial == call->serial && !e->absent ? e : NULL;
}

static bool heard(const struct blocking *b)
{
	const struct probe_call *call = (const struct probe_call *)b;
	const struct endpoint *e = tried(call);
	return !e || e->reported >= call->since || clock_now() >= call->deadline;
}

static int push_gone(lua_State *L, const struct probe_call *call)
{
	return push_failure(L,
	                    call->h->cluster ? "the endpoint has left its cluster"
	                                     : "the cluster was closed",
	                    "57P01", NULL);
}

/* "up", "again" (it answers, and is not trusted yet), or nil, message, code, fields. */
static int push_outcome(lua_State *L, struct blocking *b)
{
	const struct probe_call *call = (const struct probe_call *)b;
	const struct endpoint *e = tried(call);
	if (!e)
		return push_gone(L, call);
	if (e->reported >= call->since && e->health.failures == 0 && !e->refuses) {
		lua_pushstring(L, health_usable(&e->health) ? "up" : "again");
		return 1;
	}
	const char *why = e->reported >= call->since ? e->last_error : "no answer in time";
	lua_pushfstring(L, "connecting to %s: %s", e->name, why);
	return push_failure(L, lua_tostring(L, -1), "57P03", NULL);
}

/* core.refused(endpoint): it is there, but lets nobody in by this URL. */
static int refused(lua_State *L)
{
	const struct endpoint_handle *h = luaL_checkudata(L, 1, ENDPOINT_HANDLE);
	const struct endpoint *e = h->owner->cluster ? endpoint_of(h) : NULL;
	lua_pushboolean(L, e && e->refuses);
	return 1;
}

/* core.try(cluster, endpoint | name): probes it now, though it be down, and waits for the outcome.
 */
static int try_endpoint(lua_State *L)
{
	struct cluster_handle *h = check_cluster(L, 1);
	struct endpoint *e = find(L, h, "cluster:reconnect");
	struct probe_call *call = blocking_begin_on(L, h, sizeof *call, "cluster:reconnect");
	call->h = h;
	call->index = e->index;
	call->serial = e->serial;
	call->since = clock_now();
	/* It connects and asks; a probe that is under way comes first. */
	call->deadline = call->since + 4 * h->cluster->health.timeout + PROBE_QUIET;
	endpoint_retry(e);
	return blocking_await_poll(L, &call->blocking, heard, push_outcome);
}

void open_probe(lua_State *L)
{
	static const luaL_Reg functions[] = {
	        {"probe", probe}, {"try", try_endpoint}, {"refused", refused}, {NULL, NULL}};
	luaL_setfuncs(L, functions, 0);
}
