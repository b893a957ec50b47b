/* test_topology.c - who is the primary, and who must not be trusted. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "cluster/topology.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define X            11 /* a system, and another one */
#define Y            22

static struct member primary_on(uint32_t timeline)
{
	return (struct member){
	        .role = ROLE_PRIMARY, .usable = true, .timeline = timeline, .system = X};
}

static struct member replica_on(uint32_t timeline)
{
	return (struct member){
	        .role = ROLE_REPLICA, .usable = true, .timeline = timeline, .system = X};
}

static struct member down(struct member m)
{
	m.usable = false;
	m.failed = true;
	return m;
}

static struct member of(uint64_t system, struct member m)
{
	m.system = system;
	return m;
}

/* As a script names it, before any probe. */
static struct member unheard(enum role role, bool awaited)
{
	return (struct member){.role = role,
	                       .configured = role == ROLE_PRIMARY,
	                       .usable = true,
	                       .awaited = awaited};
}

#define LOOK(members) topology_of(members, COUNT(members), X)

static void the_configured_primary_counts_until_probes_have_begun(void **state)
{
	(void)state;
	const struct member members[] = {unheard(ROLE_REPLICA, false),
	                                 unheard(ROLE_PRIMARY, false)};
	struct topology t = topology_of(members, 2, 0);
	assert_int_equal(t.state, TOPOLOGY_PRIMARY);
	assert_int_equal(t.primary, 1);
	assert_int_equal(t.timeline, 0);
}

static void its_first_probe_is_waited_for(void **state)
{
	(void)state;
	const struct member members[] = {unheard(ROLE_PRIMARY, true), of(Y, primary_on(7))};
	struct topology t = topology_of(members, 2, 0);
	assert_int_equal(t.state, TOPOLOGY_STARTING);
	assert_int_equal(t.primary, 0);
	assert_int_equal(t.system, 0);
}

static void whose_first_probe_fails_is_not_waited_for_any_longer(void **state)
{
	(void)state;
	struct member members[] = {unheard(ROLE_PRIMARY, true), primary_on(2)};
	members[0].failed = true;
	struct topology t = topology_of(members, 2, 0);
	assert_int_equal(t.state, TOPOLOGY_PRIMARY);
	assert_int_equal(t.primary, 1);
	members[1] = replica_on(2);
	t = topology_of(members, 2, 0);
	assert_int_equal(t.state, TOPOLOGY_STARTING);
	assert_int_equal(t.primary, 0);
	members[0] = down(members[0]);
	assert_int_equal(topology_of(members, 2, 0).state, TOPOLOGY_DOWN);
}

static void one_that_lets_no_probe_in_is_what_it_is_configured_as(void **state)
{
	(void)state;
	const struct member members[] = {unheard(ROLE_PRIMARY, false), replica_on(3)};
	struct topology t = LOOK(members);
	assert_int_equal(t.state, TOPOLOGY_PRIMARY);
	assert_int_equal(t.primary, 0);
	assert_int_equal(t.outdated, 0);
}

static void the_configured_primary_may_be_a_replica_now(void **state)
{
	(void)state;
	struct member members[] = {replica_on(2), replica_on(2), primary_on(2)};
	members[0].configured = true;
	struct topology t = topology_of(members, 3, 0);
	assert_int_equal(t.state, TOPOLOGY_PRIMARY);
	assert_int_equal(t.primary, 2);
	assert_int_equal(t.system, X);
	assert_int_equal(t.outdated | t.foreign | t.rivals, 0);
}

static void of_two_primaries_the_newest_timeline_wins(void **state)
{
	(void)state;
	struct member members[] = {primary_on(1), primary_on(2), replica_on(1), replica_on(2)};
	members[0].configured = true;
	struct topology t = LOOK(members);
	assert_int_equal(t.state, TOPOLOGY_PRIMARY);
	assert_int_equal(t.primary, 1);
	assert_int_equal(t.timeline, 2);
	assert_int_equal(t.outdated, 1 << 0 | 1 << 2);
	assert_int_equal(t.rivals, 0);
}

static void on_one_timeline_neither_is_trusted(void **state)
{
	(void)state;
	const struct member members[] = {primary_on(2), replica_on(2), primary_on(2)};
	struct topology t = LOOK(members);
	assert_int_equal(t.state, TOPOLOGY_SPLIT);
	assert_int_equal(t.primary, TOPOLOGY_NOBODY);
	assert_int_equal(t.rivals, 1 << 0 | 1 << 2);
	assert_non_null(topology_reason(t.state));
}

static void an_old_one_that_is_down_is_in_nobodys_way(void **state)
{
	(void)state;
	const struct member same[] = {down(primary_on(2)), primary_on(2)};
	const struct member older[] = {down(primary_on(1)), primary_on(2)};
	assert_int_equal(LOOK(same).state, TOPOLOGY_PRIMARY);
	assert_int_equal(LOOK(same).primary, 1);
	assert_int_equal(LOOK(older).state, TOPOLOGY_PRIMARY);
	assert_int_equal(LOOK(older).primary, 1);
}

static void an_old_one_does_not_stand_in_for_the_new_one(void **state)
{
	(void)state;
	const struct member members[] = {primary_on(1), down(primary_on(2)), replica_on(1)};
	struct topology t = LOOK(members);
	assert_int_equal(t.state, TOPOLOGY_DOWN);
	assert_int_equal(t.primary, 1);
	assert_int_equal(t.outdated, 1 << 0 | 1 << 2);
}

static void a_replica_is_witness_of_a_newer_timeline(void **state)
{
	(void)state;
	const struct member members[] = {primary_on(1), replica_on(2)};
	struct topology t = LOOK(members);
	assert_int_equal(t.state, TOPOLOGY_OUTDATED);
	assert_int_equal(t.primary, TOPOLOGY_NOBODY);
	const struct member gone[] = {primary_on(1), down(replica_on(2))};
	assert_int_equal(LOOK(gone).state, TOPOLOGY_PRIMARY);
}

static void a_primary_that_is_down_remains_the_one_to_wait_for(void **state)
{
	(void)state;
	const struct member members[] = {down(primary_on(4)), replica_on(4), replica_on(4)};
	struct topology t = LOOK(members);
	assert_int_equal(t.state, TOPOLOGY_DOWN);
	assert_int_equal(t.primary, 0);
	assert_int_equal(t.outdated, 0);
}

static void there_may_be_none(void **state)
{
	(void)state;
	const struct member members[] = {replica_on(1), replica_on(1)};
	struct topology t = LOOK(members);
	assert_int_equal(t.state, TOPOLOGY_NONE);
	assert_int_equal(t.primary, TOPOLOGY_NOBODY);
	t = topology_of(members, 0, 0);
	assert_int_equal(t.state, TOPOLOGY_NONE);
}

static void a_read_only_primary_takes_no_writes(void **state)
{
	(void)state;
	struct member members[] = {primary_on(1), replica_on(1)};
	members[0].read_only = true;
	members[1].read_only = true; /* says nothing: it is a replica */
	struct topology t = LOOK(members);
	assert_int_equal(t.state, TOPOLOGY_READ_ONLY);
	assert_int_equal(t.primary, 0);
}

static void another_system_is_of_no_use_however_new(void **state)
{
	(void)state;
	const struct member members[] = {primary_on(1), of(Y, primary_on(9)), of(Y, replica_on(9))};
	struct topology t = LOOK(members);
	assert_int_equal(t.state, TOPOLOGY_PRIMARY);
	assert_int_equal(t.primary, 0);
	assert_int_equal(t.timeline, 1);
	assert_int_equal(t.foreign, 1 << 1 | 1 << 2);
}

static void the_configured_primary_says_which_system_it_is(void **state)
{
	(void)state;
	struct member members[] = {of(Y, primary_on(9)), primary_on(1)};
	members[1].configured = true;
	struct topology t = topology_of(members, 2, 0);
	assert_int_equal(t.system, X);
	assert_int_equal(t.primary, 1);
	assert_int_equal(t.foreign, 1 << 0);
	const struct member reversed[] = {members[1], members[0]};
	t = topology_of(reversed, 2, 0);
	assert_int_equal(t.system, X);
	assert_int_equal(t.primary, 0);
	members[1] = down(unheard(ROLE_PRIMARY, true)); /* it never said: who is there counts */
	t = topology_of(members, 2, 0);
	assert_int_equal(t.system, Y);
	assert_int_equal(t.primary, 0);
}

static void every_state_but_one_has_a_reason(void **state)
{
	(void)state;
	assert_null(topology_reason(TOPOLOGY_PRIMARY));
	for (enum topology_state s = TOPOLOGY_READ_ONLY; s <= TOPOLOGY_NONE; s++)
		assert_non_null(topology_reason(s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_configured_primary_counts_until_probes_have_begun),
	        cmocka_unit_test(its_first_probe_is_waited_for),
	        cmocka_unit_test(whose_first_probe_fails_is_not_waited_for_any_longer),
	        cmocka_unit_test(one_that_lets_no_probe_in_is_what_it_is_configured_as),
	        cmocka_unit_test(the_configured_primary_may_be_a_replica_now),
	        cmocka_unit_test(of_two_primaries_the_newest_timeline_wins),
	        cmocka_unit_test(on_one_timeline_neither_is_trusted),
	        cmocka_unit_test(an_old_one_that_is_down_is_in_nobodys_way),
	        cmocka_unit_test(an_old_one_does_not_stand_in_for_the_new_one),
	        cmocka_unit_test(a_replica_is_witness_of_a_newer_timeline),
	        cmocka_unit_test(a_primary_that_is_down_remains_the_one_to_wait_for),
	        cmocka_unit_test(there_may_be_none),
	        cmocka_unit_test(a_read_only_primary_takes_no_writes),
	        cmocka_unit_test(another_system_is_of_no_use_however_new),
	        cmocka_unit_test(the_configured_primary_says_which_system_it_is),
	        cmocka_unit_test(every_state_but_one_has_a_reason),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
