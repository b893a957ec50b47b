/* test_startup.c - startup packets: what they ask for, and what of it a replication's server is
 * told. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "router/login.h"
#include "wire/startup.h"

#include <string.h>

struct packet {
	uint8_t bytes[512];
	size_t size;
	struct startup startup;
	const char *wrong, *sqlstate;
};

static void put_u32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static enum status read_packet(struct packet *p, uint32_t code, const void *rest, size_t size)
{
	p->size = 8 + size;
	put_u32(p->bytes, (uint32_t)p->size);
	put_u32(p->bytes + 4, code);
	memcpy(p->bytes + 8, rest, size);
	return startup_read(p->bytes, p->size, &p->startup, &p->wrong, &p->sqlstate);
}

/* `list` is a string literal; the NUL that ends it ends the list of parameters, too. */
#define READ_SESSION(p, minor, list) read_packet(p, 3u << 16 | (minor), list, sizeof(list))

static void speaks_3_2_at_most(void **state)
{
	(void)state;
	struct packet p;
	static const unsigned spoken[][2] = {{0, 0}, {1, 1}, {2, 2}, {3, 2}, {65535, 2}};
	for (size_t i = 0; i < sizeof spoken / sizeof *spoken; i++) {
		assert_int_equal(READ_SESSION(&p, spoken[i][0], "user\0me\0"), ST_OK);
		assert_int_equal(startup_minor(&p.startup), spoken[i][1]);
	}
	assert_int_equal(read_packet(&p, 4u << 16, "user\0me\0", 9), ST_ECLIENT);
	assert_string_equal(p.wrong,
	                    "unsupported frontend protocol 4.0: server supports 3.0 to 3.2");
	assert_string_equal(p.sqlstate, "0A000");
}

static void asks_for_replication_as_postgresql_reads_booleans(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		enum startup_replication means;
	} cases[] = {
	        {"true", REPLICATION_PHYSICAL},    {"T", REPLICATION_PHYSICAL},
	        {"tru", REPLICATION_PHYSICAL},     {"YES", REPLICATION_PHYSICAL},
	        {"on", REPLICATION_PHYSICAL},      {"1", REPLICATION_PHYSICAL},
	        {"false", REPLICATION_NONE},       {"f", REPLICATION_NONE},
	        {"no", REPLICATION_NONE},          {"Off", REPLICATION_NONE},
	        {"of", REPLICATION_NONE},          {"0", REPLICATION_NONE},
	        {"database", REPLICATION_LOGICAL},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct packet p;
		uint8_t list[64] = "user\0me\0replication\0";
		size_t value = strlen(cases[i].value) + 1;
		memcpy(list + 20, cases[i].value, value);
		assert_int_equal(read_packet(&p, 3u << 16, list, 20 + value + 1), ST_OK);
		assert_int_equal(p.startup.replication, cases[i].means);
	}
}

static void refuses_what_replication_cannot_be(void **state)
{
	(void)state;
	struct packet p;
	static const char *const wrong[] = {"o", "", "truee", "2", "10", "Database", "maybe"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		uint8_t list[64] = "user\0me\0replication\0";
		size_t value = strlen(wrong[i]) + 1;
		memcpy(list + 20, wrong[i], value);
		assert_int_equal(read_packet(&p, 3u << 16, list, 20 + value + 1), ST_ECLIENT);
		assert_string_equal(p.sqlstate, "22023");
	}
	assert_string_equal(p.wrong, "invalid value for parameter \"replication\": \"maybe\"");
}

static void takes_cancel_keys_of_1_to_256_bytes(void **state)
{
	(void)state;
	struct packet p;
	uint8_t rest[4 + 257] = {0, 0, 1, 2, 'k', 'e', 'y', '!'};
	assert_int_equal(read_packet(&p, 80877102, rest, 8), ST_OK);
	assert_int_equal(p.startup.kind, STARTUP_CANCEL);
	assert_int_equal(p.startup.pid, 258);
	assert_int_equal(p.startup.secret_size, 4);
	assert_memory_equal(p.startup.secret, "key!", 4);
	assert_int_equal(read_packet(&p, 80877102, rest, 4 + 256), ST_OK);
	assert_int_equal(p.startup.secret_size, 256);
	assert_int_equal(read_packet(&p, 80877102, rest, 4 + 257), ST_ECLIENT);
	assert_int_equal(read_packet(&p, 80877102, rest, 4), ST_ECLIENT);
	assert_int_equal(read_packet(&p, 80877102, rest, 0), ST_ECLIENT);
}

/* `expected` lies between NULs where the packet's list has them. */
static void assert_extras(const struct packet *p, const char *options, const char *expected,
                          size_t size)
{
	struct login login = {0};
	struct buffer extras = {0};
	assert_int_equal(login_read(&login, &p->startup), ST_OK);
	assert_int_equal(login_extras(&login, options, &extras), ST_OK);
	assert_int_equal(buffer_size(&extras), size);
	assert_memory_equal(buffer_data(&extras), expected, size);
	login_free(&login);
	buffer_free(&extras);
}

#define ASSERT_EXTRAS(p, options, expected) assert_extras(p, options, expected, sizeof(expected))

static void tells_libpq_what_the_packet_says(void **state)
{
	(void)state;
	struct packet p;
	assert_int_equal(READ_SESSION(&p, 0, "user\0me\0database\0db\0replication\0true\0"), ST_OK);
	ASSERT_EXTRAS(&p, NULL, "options\0\0replication\0true\0");
	assert_int_equal(READ_SESSION(&p, 0,
	                              "user\0me\0application_name\0a b\0work_mem\0001 MB\0"
	                              "options\0-c x.y=a\\ b\0client_encoding\0UTF8\0_pq_.z\0001\0"
	                              "replication\0database\0"),
	                 ST_OK);
	ASSERT_EXTRAS(&p, "-c x.y=url",
	              "options\0-c x.y=url -c x.y=a\\ b -c work_mem=1\\ MB\0"
	              "application_name\0a b\0client_encoding\0UTF8\0replication\0database\0");
}

static void tells_libpq_nothing_that_means_something_else_there(void **state)
{
	(void)state;
	struct packet p;
	assert_int_equal(READ_SESSION(&p, 0,
	                              "user\0me\0host\0elsewhere\0client_encoding\0auto\0"
	                              "x.y\0a\\b\tc\0replication\0on\0"),
	                 ST_OK);
	ASSERT_EXTRAS(&p, NULL,
	              "options\0 -c host=elsewhere -c client_encoding=auto -c x.y=a\\\\b\\\tc\0"
	              "replication\0on\0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(speaks_3_2_at_most),
	        cmocka_unit_test(asks_for_replication_as_postgresql_reads_booleans),
	        cmocka_unit_test(refuses_what_replication_cannot_be),
	        cmocka_unit_test(takes_cancel_keys_of_1_to_256_bytes),
	        cmocka_unit_test(tells_libpq_what_the_packet_says),
	        cmocka_unit_test(tells_libpq_nothing_that_means_something_else_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
