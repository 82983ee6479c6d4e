/*
 * help.c - reheap help: what --help prints, and the manual page and completions for
 * installing.
 */
#include <string.h>

#include "harness/cli/usage.h"

struct opts {
	bool man;
	int completion;
};

static const struct rh_opt opts[] = {
	{ "man", 0, RH_OPT_FLAG, offsetof(struct opts, man), NULL,
	  .help = "print the manual page: reheap(1), or of the command named" },
	{ "completion", 0, RH_OPT_NAME, offsetof(struct opts, completion), "none",
	  .names = rh_shells, .arg = "SHELL",
	  .help = "print the file of completions that a shell loads" },
	{ .name = NULL }
};

static enum rh_exit run_help(const void *target, int argc, char **argv, struct rh_err *err)
{
	const struct opts *asked = target;

	if (asked->completion) {
		rh_help_completion((enum rh_shell)asked->completion, stdout);
		return RH_OK;
	}
	if (argc == 0) {
		(asked->man ? rh_help_man : rh_help_all)(stdout);
		return RH_OK;
	}
	for (int i = 0; rh_commands[i]; i++)
		if (strcmp(rh_commands[i]->name, argv[0]) == 0) {
			(asked->man ? rh_help_man_command : rh_help_command)(rh_commands[i],
									     stdout);
			return RH_OK;
		}
	return rh_help_no_command(argv[0], err);
}

const struct rh_command rh_cmd_help = {
	.name = "help",
	.operands = "[COMMAND]",
	.summary = "print help on a command, the manual page or shell completions",
	.examples = "reheap help replay\n"
		    "reheap help --man replay | man -l -\n"
		    "reheap help --completion bash > /etc/bash_completion.d/reheap",
	.opts = opts,
	.opts_bytes = sizeof(struct opts),
	.operands_max = 1,
	.run = run_help,
};
