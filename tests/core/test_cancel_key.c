/* test_cancel_key.c - cancel keys: who is found by which, and how long they are. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "router/cancel_key.h"

#include <stdlib.h>
#include <string.h>

#define MANY 1000

static struct cancel_key *find(const struct cancel_keys *keys, const struct cancel_key *key)
{
	uint8_t secret[CANCEL_SECRET_LONG];
	size_t size = cancel_key_secret(keys, key, secret);
	return cancel_key_find(keys, cancel_key_pid(key), secret, size);
}

static void is_found_by_its_own_secret_only(void **state)
{
	(void)state;
	struct cancel_keys keys;
	struct cancel_key one = {0}, other = {0};
	uint8_t secret[CANCEL_SECRET_LONG];
	cancel_keys_init(&keys);
	assert_null(cancel_key_find(&keys, 1, secret, 4));
	assert_int_equal(cancel_key_give(&keys, &one, CANCEL_CLIENT), ST_OK);
	assert_int_equal(cancel_key_give(&keys, &other, CANCEL_REPLICATION), ST_OK);
	assert_ptr_equal(find(&keys, &one), &one);
	assert_ptr_equal(find(&keys, &other), &other);
	assert_int_equal(find(&keys, &other)->holder, CANCEL_REPLICATION);
	size_t size = cancel_key_secret(&keys, &one, secret);
	assert_null(cancel_key_find(&keys, cancel_key_pid(&other), secret, size));
	secret[3] ^= 1;
	assert_null(cancel_key_find(&keys, cancel_key_pid(&one), secret, size));
	cancel_keys_free(&keys);
}

static void has_4_bytes_or_32_and_neither_passes_for_the_other(void **state)
{
	(void)state;
	struct cancel_keys keys;
	struct cancel_key key = {0};
	uint8_t secret[CANCEL_SECRET_LONG];
	cancel_keys_init(&keys);
	assert_int_equal(cancel_key_give(&keys, &key, CANCEL_CLIENT), ST_OK);
	assert_int_equal(cancel_key_secret(&keys, &key, secret), 4);
	assert_null(cancel_key_find(&keys, cancel_key_pid(&key), secret, 32));
	key.long_secret = true;
	assert_int_equal(cancel_key_secret(&keys, &key, secret), 32);
	assert_null(cancel_key_find(&keys, cancel_key_pid(&key), secret, 4));
	assert_null(cancel_key_find(&keys, cancel_key_pid(&key), secret, 0));
	assert_ptr_equal(cancel_key_find(&keys, cancel_key_pid(&key), secret, 32), &key);
	cancel_keys_free(&keys);
}

static void is_not_found_after_its_end(void **state)
{
	(void)state;
	struct cancel_keys keys;
	struct cancel_key key = {0};
	uint8_t secret[CANCEL_SECRET_LONG];
	cancel_keys_init(&keys);
	assert_int_equal(cancel_key_give(&keys, &key, CANCEL_CLIENT), ST_OK);
	uint32_t pid = cancel_key_pid(&key);
	size_t size = cancel_key_secret(&keys, &key, secret);
	cancel_key_end(&keys, &key);
	assert_null(cancel_key_find(&keys, pid, secret, size));
	cancel_key_end(&keys, &key); /* may run twice */
	assert_int_equal(keys.count, 0);
	cancel_keys_free(&keys);
}

/* Process ids come round: then those still in use are passed over, 0 too, and a secret is new
 * though its process id is not. */
static void is_never_given_twice(void **state)
{
	(void)state;
	struct cancel_keys keys;
	struct cancel_key first = {0}, held = {0}, again = {0};
	uint8_t before[CANCEL_SECRET_LONG], after[CANCEL_SECRET_LONG];
	cancel_keys_init(&keys);
	keys.last = 0x7fffffff - 1;
	assert_int_equal(cancel_key_give(&keys, &first, CANCEL_CLIENT), ST_OK);
	assert_int_equal(cancel_key_give(&keys, &held, CANCEL_CLIENT), ST_OK);
	assert_int_equal(cancel_key_pid(&first), 0x7fffffff);
	assert_int_equal(cancel_key_pid(&held), 1);
	cancel_key_secret(&keys, &first, before);
	cancel_key_end(&keys, &first);
	keys.last = 0x7fffffff + UINT64_C(0x7fffffff);
	assert_int_equal(cancel_key_give(&keys, &again, CANCEL_CLIENT), ST_OK);
	assert_int_equal(cancel_key_pid(&again), 0x7fffffff);
	cancel_key_secret(&keys, &again, after);
	assert_memory_not_equal(before, after, 4);
	cancel_key_end(&keys, &again);
	assert_int_equal(cancel_key_give(&keys, &again, CANCEL_CLIENT), ST_OK);
	assert_int_equal(cancel_key_pid(&again), 2);
	cancel_keys_free(&keys);
}

static void assert_all_found(const struct cancel_keys *keys, struct cancel_key *all)
{
	size_t given = 0;
	for (size_t i = 0; i < MANY; i++) {
		if (!all[i].serial)
			continue;
		given++;
		assert_ptr_equal(find(keys, &all[i]), &all[i]);
	}
	assert_int_equal(keys->count, given);
}

/* Process ids that all want the same few slots. */
static void all_are_found_whatever_comes_and_goes(void **state)
{
	(void)state;
	struct cancel_keys keys;
	struct cancel_key *all = calloc(MANY, sizeof *all);
	cancel_keys_init(&keys);
	srand(1);
	for (int turn = 0; turn < 4 * MANY; turn++) {
		struct cancel_key *key = &all[rand() % MANY];
		if (key->serial) {
			cancel_key_end(&keys, key);
		} else {
			keys.last += (uint64_t)(rand() % 3) * 1024;
			assert_int_equal(cancel_key_give(&keys, key, CANCEL_CLIENT), ST_OK);
		}
		if (turn % 50 == 0)
			assert_all_found(&keys, all);
	}
	assert_all_found(&keys, all);
	for (size_t i = 0; i < MANY; i++)
		cancel_key_end(&keys, &all[i]);
	assert_int_equal(keys.count, 0);
	cancel_keys_free(&keys);
	free(all);
}

static void costs_its_holder_8_bytes(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct cancel_key), 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(is_found_by_its_own_secret_only),
	        cmocka_unit_test(has_4_bytes_or_32_and_neither_passes_for_the_other),
	        cmocka_unit_test(is_not_found_after_its_end),
	        cmocka_unit_test(is_never_given_twice),
	        cmocka_unit_test(all_are_found_whatever_comes_and_goes),
	        cmocka_unit_test(costs_its_holder_8_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
