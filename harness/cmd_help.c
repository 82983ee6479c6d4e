/*
 * cmd_help.c - reheap help: what --help prints, and the manual page and completions for
 * installing.
 */
#include <string.h>

#include "harness/help.h"

struct opts { bool man; int completion; };

enum { NO_COMPLETION, BASH };
static const char *const shells[] = { "none", "bash", NULL };

static const struct rh_opt opts[] = {
	{ "man", 0, RH_OPT_FLAG, offsetof(struct opts, man), NULL,
	  .help = "print the manual page reheap(1)" },
	{ "completion", 0, RH_OPT_NAME, offsetof(struct opts, completion), "none", .names = shells,
	  .arg = "SHELL", .help = "print completions to be sourced by a shell" },
	{ .name = NULL }
};

static enum rh_exit run(const void *target, int argc, char **argv, struct rh_err *err)
{
	const struct opts *asked = target;

	if (asked->man) {
		rh_help_man(stdout);
		return RH_OK;
	}
	if (asked->completion == BASH) {
		rh_help_completion(stdout);
		return RH_OK;
	}
	if (argc == 0) {
		rh_help_all(stdout);
		return RH_OK;
	}
	for (int i = 0; rh_commands[i]; i++)
		if (strcmp(rh_commands[i]->name, argv[0]) == 0) {
			rh_help_command(rh_commands[i], stdout);
			return RH_OK;
		}
	rh_fail(err, RH_USAGE, "there is no command '%s' (see reheap --help)", argv[0]);
	return RH_USAGE;
}

const struct rh_command rh_cmd_help = {
	.name = "help",
	.operands = "[COMMAND]",
	.summary = "print help on a command, the manual page or shell completions",
	.examples = "reheap help replay\n"
		    "reheap help --man | man -l -\n"
		    "reheap help --completion bash > /etc/bash_completion.d/reheap",
	.opts = opts,
	.opts_bytes = sizeof(struct opts),
	.operands_max = 1,
	.run = run,
};
