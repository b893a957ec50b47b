/* script_fixture.h - a routing script from a string, and what it logged. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_TESTS_SCRIPT_FIXTURE_H
#define MOONGATE_TESTS_SCRIPT_FIXTURE_H

#include "script/script.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECONDS_TO_HANG 60 /* a test that takes longer has met code that the fence did not stop */

struct fixture {
	struct context context;
	struct script *script;
	char folder[64], path[96], log[96];
	char error[512];
};

static inline int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	snprintf(f->folder, sizeof f->folder, "/tmp/moongate-test-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof f->path, "%s/script.lua", f->folder);
	snprintf(f->log, sizeof f->log, "%s/log", f->folder);
	f->context.log = (struct log){LOG_DEBUG, open(f->log, O_RDWR | O_CREAT | O_APPEND, 0600)};
	f->context.loop = ev_loop_new(EVFLAG_AUTO);
	assert_non_null(f->context.loop);
	alarm(SECONDS_TO_HANG);
	*state = f;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;
	script_free(f->script);
	ev_loop_destroy(f->context.loop);
	close(f->context.log.fd);
	unlink(f->path);
	unlink(f->log);
	rmdir(f->folder);
	free(f);
	alarm(0);
	return 0;
}

static inline void write_script(const struct fixture *f, const char *text)
{
	FILE *file = fopen(f->path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static inline bool load_text_capped(struct fixture *f, const char *text, size_t memory)
{
	struct script_options options = {"lua/?.lua;lua/?/init.lua", memory};
	write_script(f, text);
	script_free(f->script);
	f->script = script_load(&f->context, f->path, &options, f->error, sizeof f->error);
	return f->script;
}

static inline bool load_text(struct fixture *f, const char *text)
{
	return load_text_capped(f, text, 0);
}

/* A script whose policy factory has `text` as its body: it sees `moongate` and `cluster`. */
static inline struct policy *load_policy_capped(struct fixture *f, const char *text, size_t memory)
{
	char script[8192];
	snprintf(script, sizeof script,
	         "local moongate = require \"moongate\" "
	         "return moongate.router { listen = \"127.0.0.1:6432\", cluster = moongate.cluster "
	         "{ "
	         "primary = { url = \"postgres://u@localhost:1/d\", name = \"first\" }, "
	         "replicas = { { url = \"postgres://u@localhost:2/d\", name = \"second\" } }, "
	         "policy = function(cluster) %s end } }",
	         text);
	if (!load_text_capped(f, script, memory))
		fail_msg("%s", f->error);
	return script_cluster_at(f->script, 0)->policy;
}

static inline struct policy *load_policy(struct fixture *f, const char *text)
{
	return load_policy_capped(f, text, 0);
}

static const char *const some_tables[] = {"orders", "public.users"};
static const char *const some_functions[] = {"lower"};

static const struct facts a_read = {.intent = INTENT_READ,
                                    .kind = SQL_SELECT,
                                    .statements = 1,
                                    .fingerprint = 0xabc,
                                    .tables = some_tables,
                                    .table_count = 2,
                                    .functions = some_functions,
                                    .function_count = 1};
static const struct facts a_write = {.intent = INTENT_WRITE, .kind = SQL_INSERT, .statements = 1};

static inline struct verdict ask(struct policy *policy, const struct facts *facts)
{
	static const char sql[] = "select /* moongate: tenant=7 */ lower(name) from orders";
	struct session_facts session = {.user = "alice", .database = "app"};
	struct query query = {.facts = facts,
	                      .sql = sql,
	                      .sql_size = sizeof sql - 1,
	                      .standard_strings = true,
	                      .parameters = 2,
	                      .session = &session};
	struct verdict v = policy_route(policy, &query);
	policy_session_end(policy, &session);
	return v;
}

/* The last question's name, or "fallback" where the policy failed. */
static const char *answer(struct policy *policy, const struct facts *facts)
{
	struct verdict v = ask(policy, facts);
	return v.fallback ? "fallback" : verdict_name(&v);
}

/* What was logged so far; valid until the next call. */
static const char *logged(const struct fixture *f)
{
	static char text[65536];
	ssize_t size = pread(f->context.log.fd, text, sizeof text - 1, 0);
	text[size > 0 ? size : 0] = '\0';
	return text;
}

static inline unsigned count_in(const char *text, const char *part)
{
	unsigned count = 0;
	while ((text = strstr(text, part)) != NULL) {
		text += strlen(part);
		count++;
	}
	return count;
}

#endif
