/* on_notice.c - see on_notice.h. */
/* SPDX-License-Identifier: MIT */
#include "script/on_notice.h"

#include "cluster/notices.h"
#include "script/answer.h"
#include "script/hooks.h"

#include <stdlib.h>

/* One call of the function. */
struct call {
	const struct cluster_handle *h;
	const struct notice *notice;
};

static void on_waiting(void *arg)
{
	struct cluster_handle *h = arg;
	list_remove(&h->noticed);
	list_push_back(&h->state->noticed, &h->noticed);
}

void on_notice_listen(lua_State *L, int cluster)
{
	struct cluster_handle *h = lua_touserdata(L, cluster);
	if (lua_isfunction(L, -1))
		notices_listen(h->cluster, on_waiting, h);
	lua_setiuservalue(L, cluster, CLUSTER_ON_NOTICE);
}

void on_notice_stop(struct cluster_handle *h)
{
	list_remove(&h->noticed);
	notices_stop(h->cluster);
}

static const char *field_of(const void *notice, int field)
{
	return notice_field(notice, field);
}

static void set_text(lua_State *L, const char *key, const char *text)
{
	lua_pushstring(L, text);
	lua_setfield(L, -2, key);
}

static int call_function(lua_State *L)
{
	const struct call *call = lua_touserdata(L, 1);
	cluster_handle_push(L, call->h);
	if (lua_isnil(L, 2))
		return 0; /* it is about to be collected */
	lua_getiuservalue(L, 2, CLUSTER_ON_NOTICE);
	lua_createtable(L, 0, 8);
	set_fields(L, field_of, call->notice);
	set_text(L, "sqlstate", notice_field(call->notice, PG_DIAG_SQLSTATE));
	set_text(L, "endpoint", notice_endpoint(call->notice));
	lua_call(L, 1, 0);
	return 0;
}

static void tell_dropped(struct cluster_handle *h)
{
	struct notices *all = &h->cluster->notices;
	if (all->dropped)
		log_warn(&h->state->context->log, "notices dropped",
		         LOG_T("why", "too many have come at once"),
		         LOG_N("notices", all->dropped));
	all->dropped = 0;
}

/* The oldest. It may be the end of the handle, where nobody else has it. */
static void tell_one(struct cluster_handle *h, struct notice *notice)
{
	struct state *state = h->state;
	struct call call = {.h = h, .notice = notice};
	if (!hook_call(state, &h->notice_health, "on_notice", call_function, &call))
		on_notice_stop(h);
	free(notice);
}

/* In a child of fork() there may be some that are its parent's. */
static struct notice *next_of(struct cluster_handle *h)
{
	return context_is_own(h->cluster->context) ? notices_take(h->cluster) : NULL;
}

void on_notice_tell(struct state *state)
{
	if (state->asking) /* a hook, or a policy, is to end first */
		return;
	while (!list_empty(&state->noticed)) {
		struct cluster_handle *h =
		        LIST_ENTRY(state->noticed.next, struct cluster_handle, noticed);
		struct notice *notice = next_of(h);
		if (notice) {
			tell_one(h, notice);
			continue;
		}
		list_remove(&h->noticed);
		tell_dropped(h);
	}
}
