/* commands.c - see commands.h. */
/* SPDX-License-Identifier: MIT */
#include "router/commands.h"

#include "cluster/post.h"
#include "cluster/resolver.h"
#include "router/explain.h"
#include "router/json.h"
#include "router/replay.h"
#include "router/usage.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RELOAD_SECONDS 60 /* that a router may take to answer: it loads the script first */

struct log command_log(enum log_level otherwise)
{
	struct log log = {.level = otherwise, .fd = STDERR_FILENO};
	const char *name = getenv("MOONGATE_LOG");
	if (name && !log_level_parse(name, &log.level))
		log_warn(&log, "MOONGATE_LOG is none of debug, info, warn, error, off",
		         LOG_T("value", name));
	return log;
}

/* A command at work on a script, in a context of its own. */
typedef int work_fn(struct context *context, const char *script,
                    const struct script_options *options, const void *what);

static int with_context(const struct script_options *options, const char *script, work_fn *work,
                        const void *what)
{
	struct context context = {.loop = ev_loop_new(EVFLAG_AUTO), .log = command_log(LOG_WARN)};
	int status = 1;
	context.resolver = context.loop ? resolver_new(&context) : NULL;
	if (context.resolver)
		status = work(&context, script, options, what);
	else
		fprintf(stderr, "moongate: out of memory\n");
	resolver_free(context.resolver);
	if (context.loop)
		ev_loop_destroy(context.loop);
	return status;
}

static int check(struct context *context, const char *script, const struct script_options *options,
                 const void *what)
{
	(void)what;
	return explain_check(context, script, options);
}

static int explain(struct context *context, const char *script,
                   const struct script_options *options, const void *what)
{
	return explain_run(context, script, options, what);
}

static int replay(struct context *context, const char *script, const struct script_options *options,
                  const void *what)
{
	return replay_run(context, script, options, what);
}

/* What getopt_long() returns for long options: those of a situation, and those of a command. */
enum option_code {
	OPTION_USER = 256,
	OPTION_DATABASE,
	OPTION_APPLICATION,
	OPTION_ADDRESS,
	OPTION_TAG,
	OPTION_ENDPOINT,
	OPTION_IN_TRANSACTION,
	OPTION_WROTE,
	OPTION_INPUT,
	OPTION_JSON,
	OPTION_LOG,
	OPTION_FORMAT,
	OPTION_AGAINST,
	OPTION_ADMIN,
};

#define SITUATION_OPTIONS                                                                          \
	{"user", required_argument, NULL, OPTION_USER},                                            \
	        {"database", required_argument, NULL, OPTION_DATABASE},                            \
	        {"application", required_argument, NULL, OPTION_APPLICATION},                      \
	        {"address", required_argument, NULL, OPTION_ADDRESS},                              \
	        {"tag", required_argument, NULL, OPTION_TAG},                                      \
	        {"endpoint", required_argument, NULL, OPTION_ENDPOINT},                            \
	        {"in-transaction", no_argument, NULL, OPTION_IN_TRANSACTION},                      \
	        {"wrote", required_argument, NULL, OPTION_WROTE},                                  \
	{                                                                                          \
		"json", no_argument, NULL, OPTION_JSON                                             \
	}

static int add(const char *list[SITUATION_LIST], size_t *count, const char *value)
{
	if (*count == SITUATION_LIST)
		return usage_refuse("too many of --tag or --endpoint");
	list[(*count)++] = value;
	return 0;
}

static int take_wrote(struct situation *s, const char *value)
{
	char *end;
	s->wrote = true;
	s->wrote_since = strtod(value, &end);
	if (end == value || *end || !(s->wrote_since >= 0 && s->wrote_since <= 1e9))
		return usage_complain("--wrote takes a number of seconds, not", value);
	return 0;
}

/* Returns 0 or an exit status. */
static int take_situation(struct situation *s, int option, const char *command)
{
	switch (option) {
	case OPTION_USER:
		s->user = optarg;
		return 0;
	case OPTION_DATABASE:
		s->database = optarg;
		return 0;
	case OPTION_APPLICATION:
		s->application = optarg;
		return 0;
	case OPTION_ADDRESS:
		s->address = optarg;
		return 0;
	case OPTION_TAG:
		return add(s->tags, &s->tag_count, optarg);
	case OPTION_ENDPOINT:
		return add(s->endpoints, &s->endpoint_count, optarg);
	case OPTION_IN_TRANSACTION:
		s->in_transaction = true;
		return 0;
	case OPTION_WROTE:
		return take_wrote(s, optarg);
	default:
		return usage_complain(command, NULL);
	}
}

int command_check(const struct script_options *options, int argc, char **argv)
{
	static const struct option known[] = {{0}};
	if (getopt_long(argc, argv, "", known, NULL) != -1)
		return usage_complain("check: see the usage", NULL);
	const char *script = usage_script(argc, argv);
	return script ? with_context(options, script, check, NULL) : EXIT_USAGE;
}

static int take_explain(struct explain_options *what, int option)
{
	switch (option) {
	case 'c':
		what->sql = optarg;
		return 0;
	case 'f':
		what->file = optarg;
		return 0;
	case OPTION_INPUT:
		what->json_input = strcmp(optarg, "json") == 0;
		if (!what->json_input && strcmp(optarg, "sql") != 0)
			return usage_complain("--input takes sql or json, not", optarg);
		return 0;
	case OPTION_JSON:
		what->json_output = true;
		return 0;
	default:
		return take_situation(&what->situation, option, "explain: see the usage");
	}
}

int command_explain(const struct script_options *options, int argc, char **argv)
{
	static const struct option known[] = {
	        {"input", required_argument, NULL, OPTION_INPUT}, SITUATION_OPTIONS, {0}};
	struct explain_options what = {.file = NULL};
	int each;
	while ((each = getopt_long(argc, argv, "c:f:", known, NULL)) != -1)
		if (take_explain(&what, each) != 0)
			return EXIT_USAGE;
	if (what.sql && what.file)
		return usage_complain("-c and -f exclude each other", NULL);
	if (!what.file)
		what.file = "-";
	const char *script = usage_script(argc, argv);
	return script ? with_context(options, script, explain, &what) : EXIT_USAGE;
}

static int take_format(struct replay_options *what, const char *name)
{
	what->has_format = true;
	for (int i = 0; i < QUERY_LOG_FORMATS; i++)
		if (strcmp(query_log_formats[i], name) == 0) {
			what->format = (enum query_log_format)i;
			return 0;
		}
	return usage_complain("--format takes csv, json or moongate, not", name);
}

static int take_replay(struct replay_options *what, int option)
{
	switch (option) {
	case OPTION_LOG:
		what->log = optarg;
		return 0;
	case OPTION_FORMAT:
		return take_format(what, optarg);
	case OPTION_AGAINST:
		what->against = optarg;
		return 0;
	case OPTION_JSON:
		what->json_output = true;
		return 0;
	default:
		return take_situation(&what->situation, option, "replay: see the usage");
	}
}

int command_replay(const struct script_options *options, int argc, char **argv)
{
	static const struct option known[] = {{"log", required_argument, NULL, OPTION_LOG},
	                                      {"format", required_argument, NULL, OPTION_FORMAT},
	                                      {"against", required_argument, NULL, OPTION_AGAINST},
	                                      SITUATION_OPTIONS,
	                                      {0}};
	struct replay_options what = {.log = NULL};
	int each;
	while ((each = getopt_long(argc, argv, "", known, NULL)) != -1)
		if (take_replay(&what, each) != 0)
			return EXIT_USAGE;
	const char *script = usage_script(argc, argv);
	if (script && !what.log)
		return usage_complain("replay needs --log FILE", NULL);
	return script ? with_context(options, script, replay, &what) : EXIT_USAGE;
}

/* What the router's page /reload answers: admin.c. */
static int tell_answer(long status, char *body)
{
	size_t kept, added, removed;
	struct json_member error = {.name = "error"};
	if (status == 200 &&
	    sscanf(body,
	           "{\"reloaded\":true,\"endpoints\":{\"kept\":%zu,\"added\":%zu,\"removed\":%zu",
	           &kept, &added, &removed) == 3) {
		printf("reloaded: %zu endpoints kept, %zu added, %zu removed\n", kept, added,
		       removed);
		return 0;
	}
	if (status == 422 && json_get_strings(body, &error, 1) && error.text)
		fprintf(stderr, "moongate: not reloaded; the old script stays: %s\n", error.text);
	else
		fprintf(stderr, "moongate: the answer is not a router's: HTTP status %ld\n",
		        status);
	return 1;
}

static int reload_at(const char *admin)
{
	char url[300], wrong[300];
	struct post_answer answer;
	const char *colon = strrchr(admin, ':');
	if (!colon || colon == admin || !colon[1] || colon[1 + strspn(colon + 1, "0123456789")] ||
	    strchr(admin, '/') || strlen(admin) > 256)
		return usage_complain("the admin address must be HOST:PORT, not", admin);
	snprintf(url, sizeof url, "http://%s/reload", admin);
	if (!post(url, RELOAD_SECONDS, &answer, wrong, sizeof wrong)) {
		fprintf(stderr, "moongate: the router at %s cannot be asked: %s\n", admin, wrong);
		return 1;
	}
	int status = tell_answer(answer.status, answer.body);
	free(answer.body);
	return status;
}

int command_reload(int argc, char **argv)
{
	static const struct option known[] = {{"admin", required_argument, NULL, OPTION_ADMIN},
	                                      {0}};
	const char *admin = getenv("MOONGATE_ADMIN");
	int each;
	while ((each = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (each != OPTION_ADMIN)
			return usage_complain("reload: see the usage", NULL);
		admin = optarg;
	}
	if (optind < argc)
		return usage_complain("unexpected argument", argv[optind]);
	if (!admin || !*admin)
		return usage_refuse("reload: where is the router's admin address? Neither --admin "
		                    "nor MOONGATE_ADMIN says it");
	return reload_at(admin);
}
