/* main.c - the command line: moongate run | check | explain | replay | reload | demo. */
/* SPDX-License-Identifier: MIT */
#include "base/version.h"
#include "router/commands.h"
#include "router/usage.h"
#include "router/worker.h"
#include "script/demo.h"

#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLACE (3 * PATH_MAX)

/* Where the Lua files are: beside the executable's folder in a checkout, in PREFIX/share installed.
 */
struct places {
	char program[PATH_MAX];
	char lua_path[PLACE];
	char scripts[PLACE];
	struct script_options options;
};

static void find_places(struct places *p)
{
	char folder[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", p->program, sizeof p->program - 1);
	p->program[n > 0 ? n : 0] = '\0';
	snprintf(folder, sizeof folder, "%s", p->program);
	char *base = dirname(folder);
	/* build/moongate and build/asan/moongate are run from the checkout that they were built in.
	 */
	static const char *const up[] = {"..", "../.."};
	for (size_t i = 0; i < sizeof up / sizeof *up; i++) {
		snprintf(p->scripts, sizeof p->scripts, "%s/%s/lua/moongate/init.lua", base, up[i]);
		if (access(p->scripts, R_OK) != 0)
			continue;
		snprintf(p->lua_path, sizeof p->lua_path, "%s/%s/lua/?.lua;%s/%s/lua/?/init.lua",
		         base, up[i], base, up[i]);
		snprintf(p->scripts, sizeof p->scripts, "%s/%s/scripts", base, up[i]);
		return;
	}
	snprintf(p->lua_path, sizeof p->lua_path,
	         "%s/../share/lua/5.4/?.lua;%s/../share/lua/5.4/?/init.lua", base, base);
	snprintf(p->scripts, sizeof p->scripts, "%s/../share/moongate/scripts", base);
}

static int run(const struct places *places, const char *script, const char *listen)
{
	char error[1024];
	struct worker worker = {.context.log = command_log(LOG_INFO)};
	int status = 0;
	if (worker_init(&worker, script, listen, &places->options, error, sizeof error)) {
		worker_run(&worker);
	} else {
		fprintf(stderr, "moongate: %s\n", error);
		status = 1;
	}
	worker_free(&worker);
	return status;
}

static int command_run(const struct places *places, int argc, char **argv)
{
	static const struct option options[] = {{"listen", required_argument, NULL, 'l'}, {0}};
	const char *listen = NULL;
	int each;
	while ((each = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (each != 'l')
			return usage_complain("run: see the usage", NULL);
		listen = optarg;
	}
	const char *script = usage_script(argc, argv);
	return script ? run(places, script, listen) : EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static struct places places; /* constant after this; too large for a stack frame */
	signal(SIGPIPE, SIG_IGN);
	find_places(&places);
	places.options = (struct script_options){.lua_path = places.lua_path};
	if (argc < 2)
		return usage_complain("expected a command", NULL);
	const char *command = argv[1];
	if (strcmp(command, "run") == 0)
		return command_run(&places, argc - 1, argv + 1);
	if (strcmp(command, "check") == 0)
		return command_check(&places.options, argc - 1, argv + 1);
	if (strcmp(command, "explain") == 0)
		return command_explain(&places.options, argc - 1, argv + 1);
	if (strcmp(command, "replay") == 0)
		return command_replay(&places.options, argc - 1, argv + 1);
	if (strcmp(command, "reload") == 0)
		return command_reload(argc - 1, argv + 1);
	if (strcmp(command, "demo") == 0)
		return demo_run(places.program, argv + 2, places.lua_path, places.scripts);
	if (strcmp(command, "--version") == 0) {
		puts("moongate " MOONGATE_VERSION);
		return 0;
	}
	if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0 ||
	    strcmp(command, "help") == 0) {
		usage_print();
		return 0;
	}
	return usage_complain("unknown command", command);
}
