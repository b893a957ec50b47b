/* examples.c - see examples.h. */
/* SPDX-License-Identifier: MIT */
#include "script/examples.h"

#include "base/clock.h"
#include "cluster/simulate.h"
#include "script/fields.h"
#include "script/handles.h"
#include "sql/tag_comment.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SHOWN 60 /* bytes of a statement that a message shows */

void examples_keep(lua_State *L, int cluster)
{
	if (!lua_istable(L, -1))
		return;
	lua_getfield(L, -1, "tests");
	lua_setiuservalue(L, cluster, CLUSTER_TESTS);
}

/* One example, the table at `table`. */
struct example {
	int table;
	lua_Integer number;
	const char *sql, *expected;
};

struct trying {
	struct cluster_handle *owner;
	char *wrong;
	size_t wrong_size;
	bool failed;
};

/* Pushes the statement with its tags. */
static const char *push_statement(lua_State *L, const struct example *e)
{
	char comment[TAG_COMMENT];
	lua_pushstring(L, e->sql);
	if (!take_table(L, e->table, "tags")) {
		lua_pop(L, 1);
		return e->sql;
	}
	int tags = lua_gettop(L);
	for (lua_pushnil(L); lua_next(L, tags); lua_pop(L, 1)) {
		lua_pushvalue(L, tags - 1);
		lua_pushstring(L, tag_comment(lua_tostring(L, -3), lua_tostring(L, -2), comment));
		lua_concat(L, 2);
		lua_replace(L, tags - 1);
	}
	lua_pop(L, 1);
	return lua_tostring(L, -1);
}

/* In a block that may write, all statements are writes: where it runs is decided once. */
static struct facts facts_of(lua_State *L, struct state *state, const struct example *e,
                             bool *writes)
{
	struct facts facts =
	        *classifier_facts(state_classifier(L, state), NULL, e->sql, strlen(e->sql), true);
	*writes = facts_may_write(&facts);
	if (take_flag(L, e->table, "in_transaction"))
		facts.intent = INTENT_WRITE;
	return facts;
}

static struct verdict ask(lua_State *L, struct cluster_handle *h, const struct query *q)
{
	lua_getiuservalue(L, 1, CLUSTER_POLICY);
	lua_getiuservalue(L, 1, CLUSTER_QUERY);
	struct verdict v = policy_ask(L, &h->policy, q);
	if (q->session->vars) {
		lua_getiuservalue(L, 1, CLUSTER_QUERY);
		query_handle_drop_vars(L, q->session->vars);
		lua_pop(L, 1);
	}
	return v;
}

/* Whether the route can lead to no other endpoint now. */
static bool leads_to(struct route *route, const struct cluster *cluster, const char *name)
{
	const struct demand demand = {.now = clock_now(), .last_write = -INFINITY};
	const struct endpoint *e = cluster_endpoint(cluster, name);
	return e && route_candidates(route, &demand) == UINT64_C(1) << e->index;
}

static bool is_expected(const struct cluster *cluster, const char *expected,
                        const struct verdict *v)
{
	if (v->fallback)
		return false;
	if (strcmp(expected, verdict_name(v)) == 0)
		return true;
	if (v->kind == VERDICT_REJECT)
		return strcmp(expected, "reject") == 0;
	return v->kind == VERDICT_ROUTE && leads_to(v->route, cluster, expected);
}

static bool is_by_rule(lua_State *L, const struct example *e, const struct verdict *v)
{
	const char *rule = take_string(L, e->table, "rule", NULL);
	return !rule || (v->rule && strcmp(v->rule->name, rule) == 0);
}

/* Of these situations the test kit alone makes one (lua/moongate/testing.lua). */
static bool is_for_the_kit(lua_State *L, int table)
{
	bool is = false;
	static const char *const keys[] = {"given", "wrote", "hour"};
	for (size_t i = 0; i < COUNT(keys); i++) {
		is |= lua_getfield(L, table, keys[i]) != LUA_TNIL;
		lua_pop(L, 1);
	}
	return is;
}

static void complain(lua_State *L, struct trying *t, const struct example *e,
                     const struct verdict *v)
{
	const char *name = take_string(L, e->table, "name", NULL);
	const char *dots = strlen(e->sql) > SHOWN ? "..." : "";
	int used = snprintf(t->wrong, t->wrong_size,
	                    "example %d%s%s (\"%.*s%s\"): expected \"%s\", ", (int)e->number,
	                    name ? ", " : "", name ? name : "", SHOWN, e->sql, dots, e->expected);
	if (used < 0 || (size_t)used >= t->wrong_size)
		return;
	char *rest = t->wrong + used;
	size_t size = t->wrong_size - (size_t)used;
	if (v->fallback)
		snprintf(rest, size, "the policy failed: %s", policy_error(&t->owner->policy));
	else if (v->rule)
		snprintf(rest, size, "got \"%s\" (rule \"%s\")", verdict_name(v), v->rule->name);
	else
		snprintf(rest, size, "got \"%s\"", verdict_name(v));
}

/* The example is on top of the stack. */
static void run_one(lua_State *L, struct trying *t, lua_Integer number)
{
	int table = lua_gettop(L);
	if (is_for_the_kit(L, table))
		return;
	struct example e = {.table = table,
	                    .number = number,
	                    .sql = take_string(L, table, "sql", ""),
	                    .expected = take_string(L, table, "expect", "")};
	struct session_facts session = {.user = take_string(L, table, "user", ""),
	                                .database = take_string(L, table, "database", ""),
	                                .application_name =
	                                        take_string(L, table, "application", ""),
	                                .address = take_string(L, table, "address", "")};
	const char *sql = push_statement(L, &e);
	bool writes;
	const struct facts facts = facts_of(L, t->owner->state, &e, &writes);
	static const struct transaction_facts block;
	bool in_block = take_flag(L, table, "in_transaction");
	uint64_t key = 0;
	const struct query query = {.facts = &facts,
	                            .sql = sql,
	                            .sql_size = strlen(sql),
	                            .standard_strings = true,
	                            .writes = writes,
	                            .in_transaction = in_block,
	                            .transaction = in_block ? &block : NULL,
	                            .parameters = take_count(L, table, "parameters", 0),
	                            .key = &key,
	                            .session = &session};
	struct verdict v = ask(L, t->owner, &query);
	t->failed = !is_expected(t->owner->cluster, e.expected, &v) || !is_by_rule(L, &e, &v);
	if (t->failed)
		complain(L, t, &e, &v);
	else
		t->owner->policy.examples++;
	lua_settop(L, table);
}

/* The cluster, the list, and a struct trying. */
static int run_all(lua_State *L)
{
	struct trying *t = lua_touserdata(L, 3);
	for (lua_Integer i = 1; !t->failed && lua_rawgeti(L, 2, i) == LUA_TTABLE; i++) {
		run_one(L, t, i);
		lua_pop(L, 1);
	}
	return 0;
}

/* As if nobody had asked. */
static void forget(struct policy *p, const struct policy *before)
{
	p->trying = false;
	p->stats = before->stats;
	p->streak = before->streak;
	*p->why = '\0';
	for (struct rule *r = p->rules; r; r = r->next)
		r->shown.hits = 0;
}

bool examples_run(lua_State *L, int cluster, char *wrong, size_t wrong_size)
{
	struct cluster_handle *h = check_cluster(L, cluster);
	struct trying t = {.owner = h, .wrong = wrong, .wrong_size = wrong_size};
	const struct policy before = h->policy;
	lua_pushcfunction(L, run_all);
	lua_pushvalue(L, cluster);
	if (lua_getiuservalue(L, cluster, CLUSTER_TESTS) != LUA_TTABLE) {
		lua_pop(L, 3);
		return true;
	}
	struct simulation *simulation = cluster_simulate_begin(h->cluster);
	if (!simulation)
		return luaL_error(L, "not enough memory");
	lua_pushlightuserdata(L, &t);
	h->policy.trying = true;
	int failed = lua_pcall(L, 3, 0, 0);
	forget(&h->policy, &before);
	cluster_simulate_end(h->cluster, simulation);
	if (failed)
		lua_error(L);
	return !t.failed;
}

static int tag_wrong(lua_State *L)
{
	lua_pushstring(L, tag_comment_wrong(luaL_checkstring(L, 1), luaL_checkstring(L, 2)));
	return 1;
}

void open_examples(lua_State *L)
{
	static const luaL_Reg functions[] = {{"tag_wrong", tag_wrong}, {NULL, NULL}};
	luaL_setfuncs(L, functions, 0);
}
