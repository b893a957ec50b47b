/* commands.h - the options of the commands that need no running router, and of `reload`. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_COMMANDS_H
#define MOONGATE_ROUTER_COMMANDS_H

#include "base/log.h"
#include "script/script.h"

/* As MOONGATE_LOG says, which may be unset. */
struct log command_log(enum log_level otherwise);

/* argv[0] is the command's name. Each returns the exit status. */
int command_check(const struct script_options *options, int argc, char **argv);
int command_explain(const struct script_options *options, int argc, char **argv);
int command_replay(const struct script_options *options, int argc, char **argv);
int command_reload(int argc, char **argv);

#endif
