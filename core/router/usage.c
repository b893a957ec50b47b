/* usage.c - see usage.h. */
/* SPDX-License-Identifier: MIT */
#include "router/usage.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>

static const char usage[] =
        "usage: moongate run SCRIPT [--listen HOST:PORT]\n"
        "       moongate check SCRIPT\n"
        "       moongate explain SCRIPT [-c SQL | -f FILE] [--input sql|json] [--json] "
        "[SITUATION]\n"
        "       moongate replay SCRIPT --log FILE [--format csv|json|moongate] [--against OTHER]\n"
        "                       [--json] [SITUATION]\n"
        "       moongate reload [--admin HOST:PORT]\n"
        "       moongate demo [--exit]\n"
        "       moongate --version\n"
        "\n"
        "run      route PostgreSQL clients as SCRIPT says\n"
        "check    load SCRIPT, try its policies' examples, and say what it sets up\n"
        "explain  print what each statement is, where it goes and why; no database is needed\n"
        "           -c SQL           the statements\n"
        "           -f FILE          a file of them; - is standard input (the default)\n"
        "           --input json     one {\"sql\": ...} a line, each one simple Query message\n"
        "           --json           one JSON object a line\n"
        "replay   count where the statements of a query log go: PostgreSQL's csvlog or jsonlog, "
        "or\n"
        "         moongate's own (log_queries); --against OTHER: which go elsewhere by that "
        "script\n"
        "reload   have the router load its script anew; --admin is MOONGATE_ADMIN unless given\n"
        "demo     a throwaway primary with two replicas, and the router in front of them\n"
        "\n"
        "A SITUATION for explain and replay, in which all endpoints are up unless it says so:\n"
        "  --endpoint NAME:WHAT[,WHAT...]    down, drained, primary, lag=S, weight=N ...; "
        "repeatable\n"
        "  --user U --database D --application A --address IP:PORT --tag KEY=VALUE (likewise)\n"
        "  --in-transaction                  inside of a block that may write\n"
        "  --wrote SECONDS                   the session's last write was so long ago\n"
        "\n"
        "MOONGATE_LOG sets the log level: debug, info (default), warn, error, off\n";

void usage_print(void)
{
	fputs(usage, stdout);
}

int usage_complain(const char *what, const char *name)
{
	fprintf(stderr, "moongate: %s%s%s\n\n%s", what, name ? " " : "", name ? name : "", usage);
	return EXIT_USAGE;
}

int usage_refuse(const char *what)
{
	fprintf(stderr, "moongate: %s\n", what);
	return EXIT_USAGE;
}

const char *usage_script(int argc, char **argv)
{
	if (optind + 1 == argc)
		return argv[optind];
	if (optind < argc)
		usage_complain("unexpected argument", argv[optind + 1]);
	else
		usage_complain("expected a SCRIPT", NULL);
	return NULL;
}
