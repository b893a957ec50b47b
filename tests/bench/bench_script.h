/* bench_script.h - a script with one policy, loaded as the router does. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_TESTS_BENCH_SCRIPT_H
#define MOONGATE_TESTS_BENCH_SCRIPT_H

#include "script/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* `body` is that of a factory, which finds routes `reads` and `writes`, `primary`, `replicas` and
 * what rules are made of. Ends the program where it does not load. */
static inline struct script *load_policy(struct context *context, const char *body)
{
	char path[] = "/tmp/moongate-bench-XXXXXX", error[256];
	int fd = mkstemp(path);
	if (fd < 0)
		exit(1);
	dprintf(fd,
	        "local moongate = require 'moongate' local rules = require 'moongate.rules' "
	        "local first, when, to, limit = rules.first, rules.when, rules.to, rules.limit "
	        "return moongate.router { listen = '[::1]:0', "
	        "cluster = moongate.cluster { primary = 'postgres://localhost:1', "
	        "replicas = { 'postgres://localhost:2', 'postgres://localhost:3' }, "
	        "policy = function(cluster) "
	        "local reads = cluster:route { to = 'replicas', fallback = 'primary' } "
	        "local writes = cluster:route { to = 'primary', hold = 30 } "
	        "local primary, replicas = cluster.primary, cluster.replicas "
	        "%s end } }",
	        body);
	close(fd);
	struct script_options options = {.lua_path = "lua/?.lua;lua/?/init.lua"};
	struct script *script = script_load(context, path, &options, error, sizeof error);
	unlink(path);
	if (!script) {
		fprintf(stderr, "%s\n", error);
		exit(1);
	}
	return script;
}

#endif
