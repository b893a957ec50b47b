/* test_catalog_body.c - what a function's source tells of it. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "sql/catalog_body.h"

#include <stdlib.h>
#include <string.h>

static const struct body {
	const char *body;
	unsigned traits;
} plpgsql[] = {
        {"begin return 1; end", 0},
        {"declare n int := 0; begin select count(*) into n from t; return n; end", 0},
        {"begin for r in select * from t loop return next r; end loop; end", 0},
        {"begin for i in 1..upper_bound loop perform reads(); end loop; end", 0},
        {"begin return query select a, b from t where a in (1, 2) order by b; end", 0},
        {"declare c cursor (x int) for select 1; begin open c(1); fetch c into y; close c; end", 0},
        {"begin if exists (select from t) then raise notice 'insert %', 1; end if; "
         "exception when others then return coalesce(nullif(1, 2), 3); end",
         0},
        {"<<outer>> declare x t.a%type; begin x := case when (1) then (2) else (3) end; end", 0},
        {"begin return (with q as materialized (select 1) select count(*) from q); end", 0},
        {"begin return cast(x as numeric(10, 2)) + x::decimal(1) + left('a', 1); end", 0},
        {"begin return old.comment || old.load; end", 0},
        {"begin insert into t values (1); end", TRAIT_WRITES},
        {"begin insert into t(a, b) values (1, 2) on conflict (a) do update set b = 3; end",
         TRAIT_WRITES},
        {"begin update t set a = 1, b = 2 where c = 3; end", TRAIT_WRITES},
        {"begin update t set a = 1; set work_mem = 1; end", TRAIT_WRITES | TRAIT_SESSION},
        {"begin set local work_mem = 1; end", TRAIT_WRITES},
        {"begin perform a from t for update; end", TRAIT_WRITES},
        {"begin perform a from t for no key update; end", TRAIT_WRITES},
        {"begin perform a from t for share; end", TRAIT_WRITES},
        {"begin execute 'select 1'; end", TRAIT_WRITES | TRAIT_HIDDEN},
        {"begin return query execute 'select 1'; end", TRAIT_WRITES | TRAIT_HIDDEN},
        {"begin perform unheard_of(); end", TRAIT_WRITES | TRAIT_HIDDEN},
        {"begin perform \"Unheard\" (1); end", TRAIT_WRITES | TRAIT_HIDDEN},
        {"begin perform app . unheard_of /* */ (1); end", TRAIT_WRITES | TRAIT_HIDDEN},
        {"begin for i in 1..unheard_of() loop end loop; end", TRAIT_WRITES | TRAIT_HIDDEN},
        {"begin create temp table x (a int); end", TRAIT_WRITES | TRAIT_HIDDEN},
        {"begin create table pg_temp.x as select 1; end", TRAIT_WRITES | TRAIT_HIDDEN},
        {"begin perform nextval('s'); end", TRAIT_WRITES},
        {"begin return lastval(); end", TRAIT_WRITES | TRAIT_SEQUENCE},
        {"begin perform set_config('a.b', 'c', true); end", TRAIT_WRITES},
        {"begin perform set_config('a.b', f(1, 2), false); end",
         TRAIT_WRITES | TRAIT_HIDDEN | TRAIT_SESSION},
        {"begin return (select count(*) from pg_stat_activity); end", TRAIT_NODE},
        {"begin perform query('x'); end", TRAIT_WRITES | TRAIT_HIDDEN}, /* no query */
        {"begin listen x; end", TRAIT_WRITES | TRAIT_HIDDEN},
        {"begin return U&'a'; end", TRAIT_WRITES | TRAIT_HIDDEN},
        {"begin return '\\'; update t set a = '1'; end", TRAIT_WRITES | TRAIT_HIDDEN},
        {"begin return 'unterminated", TRAIT_WRITES | TRAIT_HIDDEN},
        {"begin insert into calls.view values (unlogged.id); end", TRAIT_WRITES},
};

static unsigned only_query(void *arg, enum catalog_kind kind, const char *schema, const char *name)
{
	(void)arg;
	(void)schema;
	if (kind != CATALOG_FUNCTION)
		return 0;
	if (strcmp(name, "query") == 0)
		return TRAIT_WRITES | TRAIT_HIDDEN;
	return strcmp(name, "reads") == 0 ? 0 : TRAIT_UNKNOWN;
}

static void plpgsql_reads_only_if_no_word_says_otherwise(void **state)
{
	const struct catalog_lookup lookup = {.look = only_query};
	(void)state;
	for (size_t i = 0; i < sizeof(plpgsql) / sizeof(*plpgsql); i++) {
		unsigned traits = body_traits_plpgsql(plpgsql[i].body, &lookup);
		if (traits != plpgsql[i].traits)
			fail_msg("%s: %x, not %x", plpgsql[i].body, traits, plpgsql[i].traits);
	}
}

static const struct body sql[] = {
        {"select 1; select 2", 0},
        {"select $1 + a from t", 0},
        {"", 0},
        {"select 1; insert into t values (1)", TRAIT_WRITES},
        {"select a from t for update", TRAIT_WRITES},
        {"create temp table x (a int)", TRAIT_WRITES | TRAIT_HIDDEN},
        {"set work_mem = 1", TRAIT_WRITES | TRAIT_SESSION},
        {"set local work_mem = 1", TRAIT_WRITES},
        {"listen x", TRAIT_WRITES | TRAIT_HIDDEN},
        {"no sql at all", TRAIT_WRITES | TRAIT_HIDDEN},
        {"select pg_backend_pid()", TRAIT_NODE},
        {"select query('x')", TRAIT_WRITES | TRAIT_HIDDEN},
        {"select setseed(1)", TRAIT_WRITES | TRAIT_SESSION},
        {"select '\\'; insert into t values ('1')", TRAIT_WRITES | TRAIT_HIDDEN},
};

static void sql_bodies_are_parsed(void **state)
{
	const struct catalog_lookup lookup = {.look = only_query};
	(void)state;
	for (size_t i = 0; i < sizeof(sql) / sizeof(*sql); i++) {
		unsigned traits = body_traits_sql(sql[i].body, &lookup);
		if (traits != sql[i].traits)
			fail_msg("%s: %x, not %x", sql[i].body, traits, sql[i].traits);
	}
}

static char *repeat(const char *before, const char *unit, size_t count)
{
	char *text = malloc(strlen(before) + count * strlen(unit) + 1), *at = stpcpy(text, before);
	for (size_t i = 0; i < count; i++)
		at = stpcpy(at, unit);
	return text;
}

static void bodies_beyond_the_limits_may_write(void **state)
{
	const struct catalog_lookup lookup = {.look = only_query};
	char *const bodies[] = {repeat("select 1", "+1", 20000), repeat("select 1 ", "+", 20000),
	                        repeat("select '", "a", 100000), repeat("select ", "(", 20000)};
	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		assert_int_equal(body_traits_sql(bodies[i], &lookup), TRAIT_WRITES | TRAIT_HIDDEN);
		assert_int_equal(body_traits_plpgsql(bodies[i], &lookup),
		                 TRAIT_WRITES | TRAIT_HIDDEN);
		free(bodies[i]);
	}
}

/* Nothing of a statement is left unread at a piece of it. */
static void pieces_of_bodies_crash_nothing(void **state)
{
	const struct catalog_lookup lookup = {.look = only_query};
	(void)state;
	for (size_t i = 0; i < sizeof(plpgsql) / sizeof(*plpgsql); i++) {
		size_t size = strlen(plpgsql[i].body);
		for (size_t from = 0; from < size; from++) {
			char *piece = strndup(plpgsql[i].body + from, (size - from) * 2 / 3);
			body_traits_plpgsql(piece, &lookup);
			body_traits_sql(piece, &lookup);
			free(piece);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(plpgsql_reads_only_if_no_word_says_otherwise),
	        cmocka_unit_test(sql_bodies_are_parsed),
	        cmocka_unit_test(bodies_beyond_the_limits_may_write),
	        cmocka_unit_test(pieces_of_bodies_crash_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
