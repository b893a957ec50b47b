/* main.c - the command line: moongate run | check | explain | demo. */
/* SPDX-License-Identifier: MIT */
#include "base/version.h"
#include "cluster/resolver.h"
#include "router/explain.h"
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

#define EXIT_USAGE 2
#define PLACE      (3 * PATH_MAX)

static const char usage[] =
        "usage: moongate run SCRIPT [--listen HOST:PORT]\n"
        "       moongate check SCRIPT\n"
        "       moongate explain SCRIPT [-c SQL | -f FILE] [--input sql|json] [--json]\n"
        "       moongate demo [--exit]\n"
        "       moongate --version\n"
        "\n"
        "run      route PostgreSQL clients as SCRIPT says\n"
        "check    load SCRIPT and say what it sets up\n"
        "explain  print intent, facts and verdict of each statement; no database is needed\n"
        "           -c SQL           the statements\n"
        "           -f FILE          a file of them; - is standard input (the default)\n"
        "           --input json     one {\"sql\": ...} a line, each one simple Query message\n"
        "           --json           one JSON object a line\n"
        "demo     a throwaway primary with two replicas, and the router in front of them\n"
        "\n"
        "MOONGATE_LOG sets the log level: debug, info (default), warn, error, off\n";

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

static int complain(const char *what, const char *name)
{
	fprintf(stderr, "moongate: %s%s%s\n\n%s", what, name ? " " : "", name ? name : "", usage);
	return EXIT_USAGE;
}

static struct log make_log(enum log_level otherwise)
{
	struct log log = {.level = otherwise, .fd = STDERR_FILENO};
	const char *name = getenv("MOONGATE_LOG");
	if (name && !log_level_parse(name, &log.level))
		log_warn(&log, "MOONGATE_LOG is none of debug, info, warn, error, off",
		         LOG_T("value", name));
	return log;
}

static int run(const struct places *places, const char *script, const char *listen)
{
	char error[1024];
	struct worker worker = {.context.log = make_log(LOG_INFO)};
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

static int with_context(const struct places *places, const char *script,
                        const struct explain_options *what)
{
	struct context context = {.loop = ev_loop_new(EVFLAG_AUTO), .log = make_log(LOG_WARN)};
	int status = 1;
	context.resolver = context.loop ? resolver_new(context.loop) : NULL;
	if (!context.resolver)
		fprintf(stderr, "moongate: out of memory\n");
	else if (what)
		status = explain_run(&context, script, &places->options, what);
	else
		status = explain_check(&context, script, &places->options);
	resolver_free(context.resolver);
	if (context.loop)
		ev_loop_destroy(context.loop);
	return status;
}

/* The one argument left, or NULL with a complaint. */
static const char *the_script(int argc, char **argv, int *status)
{
	if (optind + 1 == argc)
		return argv[optind];
	*status = optind < argc ? complain("unexpected argument", argv[optind + 1])
	                        : complain("expected a SCRIPT", NULL);
	return NULL;
}

static int command_run(const struct places *places, int argc, char **argv)
{
	static const struct option options[] = {{"listen", required_argument, NULL, 'l'}, {0}};
	const char *listen = NULL;
	int status = EXIT_USAGE, each;
	while ((each = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (each != 'l')
			return complain("run: see the usage", NULL);
		listen = optarg;
	}
	const char *script = the_script(argc, argv, &status);
	return script ? run(places, script, listen) : status;
}

static int command_check(const struct places *places, int argc, char **argv)
{
	static const struct option options[] = {{0}};
	int status = EXIT_USAGE;
	if (getopt_long(argc, argv, "", options, NULL) != -1)
		return complain("check: see the usage", NULL);
	const char *script = the_script(argc, argv, &status);
	return script ? with_context(places, script, NULL) : status;
}

static int command_explain(const struct places *places, int argc, char **argv)
{
	static const struct option options[] = {
	        {"input", required_argument, NULL, 'i'}, {"json", no_argument, NULL, 'j'}, {0}};
	struct explain_options what = {.file = "-"};
	bool has_file = false;
	int status = EXIT_USAGE, each;
	while ((each = getopt_long(argc, argv, "c:f:", options, NULL)) != -1) {
		switch (each) {
		case 'c':
			what.sql = optarg;
			break;
		case 'f':
			what.file = optarg;
			has_file = true;
			break;
		case 'i':
			what.json_input = strcmp(optarg, "json") == 0;
			if (!what.json_input && strcmp(optarg, "sql") != 0)
				return complain("--input takes sql or json, not", optarg);
			break;
		case 'j':
			what.json_output = true;
			break;
		default:
			return complain("explain: see the usage", NULL);
		}
	}
	if (what.sql && has_file)
		return complain("-c and -f exclude each other", NULL);
	const char *script = the_script(argc, argv, &status);
	return script ? with_context(places, script, &what) : status;
}

int main(int argc, char **argv)
{
	static struct places places; /* constant after this; too large for a stack frame */
	signal(SIGPIPE, SIG_IGN);
	find_places(&places);
	places.options = (struct script_options){.lua_path = places.lua_path};
	if (argc < 2)
		return complain("expected a command", NULL);
	const char *command = argv[1];
	if (strcmp(command, "run") == 0)
		return command_run(&places, argc - 1, argv + 1);
	if (strcmp(command, "check") == 0)
		return command_check(&places, argc - 1, argv + 1);
	if (strcmp(command, "explain") == 0)
		return command_explain(&places, argc - 1, argv + 1);
	if (strcmp(command, "demo") == 0)
		return demo_run(places.program, argv + 2, places.lua_path, places.scripts);
	if (strcmp(command, "--version") == 0) {
		puts("moongate " MOONGATE_VERSION);
		return 0;
	}
	if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0 ||
	    strcmp(command, "help") == 0) {
		fputs(usage, stdout);
		return 0;
	}
	return complain("unknown command", command);
}
