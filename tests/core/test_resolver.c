/* test_resolver.c - names become addresses, or a reason, or nothing when nobody listens any more.
 *
 * The name server is the test's own UDP socket: no query leaves the machine. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/clock.h"
#include "cluster/context.h"
#include "cluster/resolver.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TYPE_A         1
#define TYPE_AAAA      28
#define NO_ERROR       0
#define NO_SUCH_NAME   3
#define DNS_HEADER     12
#define ENTIRE_TIMEOUT 5.0

struct answer {
	unsigned calls;
	enum status status;
	char addresses[256], reason[512];
	double ttl;
};

struct fixture {
	struct context context;
	struct resolver *resolver;
	ev_io name_server;
	bool silent; /* the name server reads, and never answers */
	unsigned asked;
};

/* db.test is 192.0.2.7 and 2001:db8::7; there is no other name. RFC 1035, section 4.1. */
static size_t answer_query(uint8_t *message, size_t size)
{
	static const uint8_t db_test[] = "\2db\4test";
	static const uint8_t v4[] = {0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 7};
	static const uint8_t v6[] = {0xc0, 12,   0, TYPE_AAAA, 0, 1, 0, 0, 0, 9, 0, 16, 0x20, 1,
	                             0x0d, 0xb8, 0, 0,         0, 0, 0, 0, 0, 0, 0, 0,  0,    7};
	bool known = memcmp(message + DNS_HEADER, db_test, sizeof db_test) == 0;
	uint8_t type = message[DNS_HEADER + sizeof db_test + 1];
	message[2] |= 0x80; /* it is a response */
	message[3] = known ? NO_ERROR : NO_SUCH_NAME;
	if (!known)
		return size;
	message[7] = 1; /* answers */
	const uint8_t *record = type == TYPE_AAAA ? v6 : v4;
	size_t record_size = type == TYPE_AAAA ? sizeof v6 : sizeof v4;
	memcpy(message + size, record, record_size);
	return size + record_size;
}

static void on_question(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop, (void)events;
	struct fixture *f = io->data;
	uint8_t message[600];
	struct sockaddr_in from;
	socklen_t from_size = sizeof from;
	ssize_t size =
	        recvfrom(io->fd, message, 512, 0, (struct sockaddr *)(void *)&from, &from_size);
	assert_true(size > DNS_HEADER);
	f->asked++;
	if (f->silent)
		return;
	size_t reply = answer_query(message, (size_t)size);
	assert_int_equal(sendto(io->fd, message, reply, 0, (void *)&from, from_size), reply);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	char servers[64];
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(fd, (void *)&address, sizeof address), 0);
	assert_int_equal(getsockname(fd, (void *)&address, &size), 0);
	snprintf(servers, sizeof servers, "127.0.0.1:%u", ntohs(address.sin_port));

	f->context.loop = ev_loop_new(0);
	f->resolver = resolver_new(&f->context);
	assert_int_equal(resolver_set_servers(f->resolver, servers), ST_OK);
	ev_io_init(&f->name_server, on_question, fd, EV_READ);
	f->name_server.data = f;
	ev_io_start(f->context.loop, &f->name_server);
	ev_unref(f->context.loop); /* the loop ends when the resolver wants nothing more */
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	resolver_free(f->resolver);
	ev_ref(f->context.loop);
	ev_io_stop(f->context.loop, &f->name_server);
	close(f->name_server.fd);
	ev_loop_destroy(f->context.loop);
	free(f);
	return 0;
}

static void note(enum status status, const struct resolved *resolved, void *arg)
{
	const char *addresses = resolved->addresses, *reason = resolved->reason;
	struct answer *answer = arg;
	answer->calls++;
	answer->status = status;
	snprintf(answer->addresses, sizeof answer->addresses, "%s", addresses ? addresses : "");
	snprintf(answer->reason, sizeof answer->reason, "%s", reason ? reason : "");
	answer->ttl = resolved->ttl;
}

static struct answer resolve(struct fixture *f, const char *host)
{
	struct answer answer = {0};
	assert_non_null(resolver_start(f->resolver, host, note, &answer));
	assert_int_equal(answer.calls, 0);
	ev_run(f->context.loop, 0);
	assert_int_equal(answer.calls, 1);
	return answer;
}

static void passes_numeric_addresses_straight_through(void **state)
{
	struct fixture *f = *state;
	const char *const hosts[] = {"127.0.0.1", "192.0.2.1", "::1", "2001:db8::1", "fe80::1%lo"};
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		struct answer answer = resolve(f, hosts[i]);
		assert_int_equal(answer.status, ST_OK);
		assert_string_equal(answer.addresses, hosts[i]);
		assert_near(answer.ttl, INFINITY);
	}
	assert_int_equal(f->asked, 0);
}

static void knows_localhost_without_a_name_server(void **state)
{
	struct fixture *f = *state;
	struct answer answer = resolve(f, "localhost");
	assert_int_equal(answer.status, ST_OK);
	assert_non_null(strstr(answer.addresses, "127.0.0.1"));
	assert_int_equal(f->asked, 0);
}

static void asks_the_name_server_for_both_families(void **state)
{
	struct fixture *f = *state;
	struct answer answer = resolve(f, "db.test");
	assert_int_equal(answer.status, ST_OK);
	assert_string_equal(answer.reason, "");
	if (strcmp(answer.addresses, "192.0.2.7,2001:db8::7") != 0)
		assert_string_equal(answer.addresses, "2001:db8::7,192.0.2.7");
	assert_near(answer.ttl, 9);
}

static void asks_again_each_time(void **state)
{
	struct fixture *f = *state;
	(void)resolve(f, "db.test");
	unsigned before = f->asked;
	(void)resolve(f, "db.test");
	assert_int_equal(f->asked, 2 * before);
}

static void says_which_name_does_not_exist(void **state)
{
	struct fixture *f = *state;
	struct answer answer = resolve(f, "nowhere.test");
	assert_int_equal(answer.status, ST_ESERVER);
	assert_string_equal(answer.addresses, "");
	assert_non_null(strstr(answer.reason, "\"nowhere.test\""));
	assert_non_null(strstr(answer.reason, "not found"));
}

static void refuses_what_cannot_be_a_name(void **state)
{
	struct fixture *f = *state;
	char huge[2000];
	memset(huge, 'x', sizeof huge - 1);
	huge[sizeof huge - 1] = '\0';
	const char *const hosts[] = {"", "..", "a..b.test", huge};
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		struct answer answer = resolve(f, hosts[i]);
		assert_int_equal(answer.status, ST_ESERVER);
		assert_non_null(strstr(answer.reason, "could not resolve"));
	}
}

static void gives_up_on_a_silent_name_server(void **state)
{
	struct fixture *f = *state;
	f->silent = true;
	double start = clock_now();
	struct answer answer = resolve(f, "db.test");
	assert_int_equal(answer.status, ST_TIMEOUT);
	assert_non_null(strstr(answer.reason, "\"db.test\""));
	assert_true(clock_now() - start < ENTIRE_TIMEOUT + 1);
	assert_true(f->asked > 2); /* it tried more than once for each family */
}

static void many_queries_at_once_each_get_their_answer(void **state)
{
	struct fixture *f = *state;
	struct answer answers[90] = {{0}};
	const char *const hosts[] = {"db.test", "nowhere.test", "127.0.0.1"};
	for (size_t i = 0; i < 90; i++)
		assert_non_null(resolver_start(f->resolver, hosts[i % 3], note, &answers[i]));
	ev_run(f->context.loop, 0);
	for (size_t i = 0; i < 90; i++) {
		assert_int_equal(answers[i].calls, 1);
		assert_int_equal(answers[i].status, i % 3 == 1 ? ST_ESERVER : ST_OK);
	}
}

static void a_cancelled_query_is_not_heard_of(void **state)
{
	struct fixture *f = *state;
	struct answer answers[3] = {{0}};
	resolver_cancel(resolver_start(f->resolver, "127.0.0.1", note, &answers[0]));
	resolver_cancel(resolver_start(f->resolver, "localhost", note, &answers[1]));
	resolver_cancel(resolver_start(f->resolver, "db.test", note, &answers[2]));
	resolver_cancel(NULL);
	ev_run(f->context.loop, 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(answers[i].calls, 0);
}

static void cancelling_one_query_leaves_the_others(void **state)
{
	struct fixture *f = *state;
	struct answer cancelled = {0}, kept = {0};
	struct resolver_query *q = resolver_start(f->resolver, "db.test", note, &cancelled);
	assert_non_null(resolver_start(f->resolver, "db.test", note, &kept));
	while (f->asked == 0)
		ev_run(f->context.loop, EVRUN_ONCE);
	resolver_cancel(q);
	ev_run(f->context.loop, 0);
	assert_int_equal(cancelled.calls, 0);
	assert_int_equal(kept.calls, 1);
	assert_int_equal(kept.status, ST_OK);
}

static void freeing_the_resolver_ends_its_queries_unheard(void **state)
{
	struct fixture *f = *state;
	struct answer answers[3] = {{0}};
	f->silent = true;
	assert_non_null(resolver_start(f->resolver, "db.test", note, &answers[0]));
	assert_non_null(resolver_start(f->resolver, "nowhere.test", note, &answers[1]));
	while (f->asked == 0)
		ev_run(f->context.loop, EVRUN_ONCE);
	assert_non_null(resolver_start(f->resolver, "127.0.0.1", note, &answers[2]));
	resolver_free(f->resolver);
	f->resolver = NULL;
	ev_run(f->context.loop, 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(answers[i].calls, 0);
}

struct last_words {
	struct fixture *fixture;
	struct resolver_query *query;
	char addresses[256];
};

/* What a borrower's teardown may do from its own callback. */
static void free_everything(enum status status, const struct resolved *answer, void *arg)
{
	struct last_words *words = arg;
	resolver_cancel(words->query);
	resolver_free(words->fixture->resolver);
	words->fixture->resolver = NULL;
	assert_int_equal(status, ST_OK);
	assert_null(answer->reason);
	snprintf(words->addresses, sizeof words->addresses, "%s", answer->addresses);
}

static void a_callback_may_free_the_resolver(void **state)
{
	struct fixture *f = *state;
	struct last_words words = {.fixture = f};
	struct answer other = {0};
	words.query = resolver_start(f->resolver, "127.0.0.1", free_everything, &words);
	assert_non_null(resolver_start(f->resolver, "db.test", note, &other));
	ev_run(f->context.loop, 0);
	assert_string_equal(words.addresses, "127.0.0.1");
	assert_int_equal(other.calls, 0);
}

#define resolver_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        resolver_test(passes_numeric_addresses_straight_through),
	        resolver_test(knows_localhost_without_a_name_server),
	        resolver_test(asks_the_name_server_for_both_families),
	        resolver_test(asks_again_each_time),
	        resolver_test(says_which_name_does_not_exist),
	        resolver_test(refuses_what_cannot_be_a_name),
	        resolver_test(gives_up_on_a_silent_name_server),
	        resolver_test(many_queries_at_once_each_get_their_answer),
	        resolver_test(a_cancelled_query_is_not_heard_of),
	        resolver_test(cancelling_one_query_leaves_the_others),
	        resolver_test(freeing_the_resolver_ends_its_queries_unheard),
	        resolver_test(a_callback_may_free_the_resolver),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
